package forward

import "strings"

// uploadHeaders hold the address for the bytes of a resumable Google upload
// to (https://ai.google.dev/gemini-api/docs/files, "X-Goog-Upload-Protocol:
// resumable").
var uploadHeaders = [...]string{"X-Goog-Upload-Url", "X-Goog-Upload-Control-Url"}

// uploads is the object that an upload under way is for Affinity: its id is in
// the query.
func uploads(rawQuery string) (objects []string) {
	if id := firstParameter(rawQuery, "upload_id"); id != "" {
		objects = append(objects, "upload_id/"+id)
	}
	return objects
}

// firstParameter is the first value of a query's parameter, as it is spelled.
func firstParameter(rawQuery, name string) string {
	for pair := range strings.SplitSeq(rawQuery, "&") {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}
