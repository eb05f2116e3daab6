package upstreamtest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
)

// SpeechBytes is the size of every spoken answer, whose bytes are Pattern(SpeechBytes).
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

// transcription hears the file's size and hash, so that the client can tell whether it arrived whole.
func (x *exchange) transcription() reply {
	fields, name, content, err := x.form()
	if err != nil {
		return x.failure(400, "invalid_form", err.Error())
	}
	text := fmt.Sprintf("%s %d bytes %x model %s", name, len(content), sha256.Sum256(content), fields["model"])
	return jsonReply(200, marshal(obj{"text": text, "usage": obj{"type": "duration", "seconds": 1}}))
}

func (u upload) object() obj {
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
	return jsonReply(200, marshal(u.object()))
}

func (x *exchange) listFiles() reply {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	data := []obj{}
	for _, u := range x.s.files {
		data = append(data, u.object())
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
	return jsonReply(200, marshal(u.object()))
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
	return jsonReply(200, marshal(obj{"id": u.id, "object": "file", "deleted": true}))
}
