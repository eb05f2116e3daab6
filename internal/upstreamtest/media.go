package upstreamtest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// SpeechBytes is the size of every spoken answer, whose bytes are
// Pattern(SpeechBytes).
const SpeechBytes = 64 << 10

// upload is a file that a client left here.
type upload struct {
	id, name, purpose string
	content           []byte // at most the first MiB, as records keep it
}

func (x *exchange) image() reply {
	picture := base64.StdEncoding.EncodeToString(Pattern(1024))
	var data []obj
	for range max(1, int(x.field("n").Int())) {
		data = append(data, obj{"b64_json": picture, "revised_prompt": x.field("prompt").String()})
	}
	return jsonReply(200, marshal(obj{"created": 1700000000, "data": data}))
}

func (x *exchange) speech() reply {
	return reply{status: 200, header: http.Header{"Content-Type": {"audio/mpeg"}}, body: Pattern(SpeechBytes)}
}

// form reads the fields and the one file of a multipart body.
func (x *exchange) form() (fields map[string]string, name string, content []byte, err error) {
	_, params, err := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	if err != nil {
		return nil, "", nil, fmt.Errorf("reading the content type: %w", err)
	}
	fields = map[string]string{}
	parts := multipart.NewReader(bytes.NewReader(x.body), params["boundary"])
	for {
		part, err := parts.NextPart()
		if err == io.EOF {
			return fields, name, content, nil
		}
		if err != nil {
			return nil, "", nil, fmt.Errorf("reading a part: %w", err)
		}
		data, err := io.ReadAll(part)
		if err != nil {
			return nil, "", nil, fmt.Errorf("reading part %q: %w", part.FormName(), err)
		}
		if part.FileName() == "" {
			fields[part.FormName()] = string(data)
		} else {
			name, content = part.FileName(), data
		}
	}
}

// transcription answers with the file's size and hash, so that the client sees
// whether it arrived whole.
func (x *exchange) transcription() reply {
	fields, name, content, err := x.form()
	if err != nil {
		return x.failure(400, "invalid_form", err.Error())
	}
	text := fmt.Sprintf("%s %d bytes %x model %s", name, len(content), sha256.Sum256(content), fields["model"])
	return jsonReply(200, marshal(obj{"text": text, "usage": obj{"type": "duration", "seconds": 1}}))
}

// objectOf describes the file as a provider does.
func (u upload) objectOf(p protocol) obj {
	switch p {
	case anthropic:
		return obj{
			"id": u.id, "type": "file", "filename": u.name, "size_bytes": len(u.content), "mime_type": "application/octet-stream",
			"created_at": "2025-01-01T00:00:00Z", "downloadable": false,
		}
	case gemini:
		return obj{
			"name": "files/" + u.id, "displayName": u.name, "sizeBytes": strconv.Itoa(len(u.content)),
			"mimeType": "application/octet-stream", "state": "ACTIVE",
		}
	}
	return obj{
		"id": u.id, "object": "file", "bytes": len(u.content), "created_at": 1700000000, "filename": u.name,
		"purpose": u.purpose, "status": "processed",
	}
}

func (x *exchange) upload() reply {
	fields, name, content, err := x.form()
	if err != nil {
		return x.failure(400, "invalid_form", err.Error())
	}
	u := upload{id: fmt.Sprintf("file-%d", x.rec.Seq), name: name, purpose: fields["purpose"], content: content}
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	x.s.files[u.id] = u
	return jsonReply(200, marshal(u.objectOf(x.dialect())))
}

// resumableUpload is Google's: the first request is answered by an address in a
// header, which names the host that the upstream believes to be, and the bytes
// go there. Source: https://ai.google.dev/gemini-api/docs/files.
func (x *exchange) resumableUpload() reply {
	id := x.r.URL.Query().Get("upload_id")
	if id == "" {
		r := jsonReply(200, "")
		r.header.Set("X-Goog-Upload-Status", "active")
		r.header.Set("X-Goog-Upload-Url", fmt.Sprintf("http://%s%s?upload_id=up%d&upload_protocol=resumable", x.r.Host, x.r.URL.Path, x.rec.Seq))
		return r
	}
	u := upload{id: id, name: x.r.Header.Get("X-Goog-Upload-File-Name"), content: x.body}
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	x.s.files[id] = u
	r := jsonReply(200, marshal(obj{"file": u.objectOf(gemini)}))
	r.header.Set("X-Goog-Upload-Status", "final")
	return r
}

func (x *exchange) listFiles() reply {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	data := []obj{}
	for _, id := range slices.Sorted(maps.Keys(x.s.files)) {
		data = append(data, x.s.files[id].objectOf(x.dialect()))
	}
	switch x.dialect() {
	case anthropic:
		return jsonReply(200, marshal(page(data)))
	case gemini:
		return jsonReply(200, marshal(obj{"files": data}))
	}
	return jsonReply(200, marshal(obj{"object": "list", "data": data, "has_more": false}))
}

// found looks up the file that the path names.
func (x *exchange) found() (upload, bool) {
	_, id, _ := strings.Cut(x.r.URL.Path, "/files/")
	id, _, _ = strings.Cut(id, "/")
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	u, ok := x.s.files[id]
	return u, ok
}

func (x *exchange) file() reply {
	u, ok := x.found()
	if !ok {
		return x.failure(404, "not_found", "No such file.")
	}
	return jsonReply(200, marshal(u.objectOf(x.dialect())))
}

func (x *exchange) fileContent() reply {
	u, ok := x.found()
	if !ok {
		return x.failure(404, "not_found", "No such file.")
	}
	return reply{status: 200, header: http.Header{"Content-Type": {"application/octet-stream"}}, body: u.content}
}

func (x *exchange) deleteFile() reply {
	u, ok := x.found()
	if !ok {
		return x.failure(404, "not_found", "No such file.")
	}
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	delete(x.s.files, u.id)
	if x.dialect() == anthropic {
		return jsonReply(200, marshal(obj{"id": u.id, "type": "file_deleted"}))
	}
	return jsonReply(200, marshal(obj{"id": u.id, "object": "file", "deleted": true}))
}
