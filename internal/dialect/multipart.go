package dialect

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/textproto"
	"strings"

	"github.com/steno-audit/steno"
)

// Limits of a form, in bytes where nothing else is said.
const (
	maxFormParts  = 256
	maxFormText   = 64 << 10 // a field longer than this is a file
	maxFormHeader = 8 << 10
	maxFormLooked = 4 << 20 // of a file, that checks look at
)

// boundaryOf is that of a form whose headers are not known, as the form begins with it; "" if the body is none.
func boundaryOf(body []byte) string {
	line, rest, ok := bytes.Cut(body[:min(len(body), maxFormHeader)], []byte("\r\n"))
	if !ok || !bytes.HasPrefix(line, []byte("--")) || len(line) > 72 || !bytes.HasPrefix(bytes.ToLower(rest[:min(len(rest), 8)]), []byte("content-")) {
		return ""
	}
	return string(line[2:])
}

// boundary is that of a multipart form, "" if the body is none.
func boundary(h http.Header) string {
	media, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || media != "multipart/form-data" {
		return ""
	}
	return params["boundary"]
}

// A formPart is one field or file of a form: its range with its headers, and that of its content.
type formPart struct {
	start, end int
	from, to   int
	name, file string
	media      string
	isText     bool
}

// formParts cuts a form at its boundaries (RFC 2046 5.1); nil if it is not whole.
func formParts(body []byte, boundary string) []formPart {
	delimiter := []byte("--" + boundary)
	if boundary == "" || !bytes.HasPrefix(body, delimiter) {
		return nil
	}
	var out []formPart
	next := append([]byte("\r\n"), delimiter...)
	at := len(delimiter)
	for len(out) < maxFormParts {
		if bytes.HasPrefix(body[at:], []byte("--")) {
			return out
		}
		if !bytes.HasPrefix(body[at:], []byte("\r\n")) {
			return nil
		}
		p := formPart{start: at + 2}
		size := bytes.Index(body[at:], next)
		if size < 0 {
			return nil
		}
		p.end = at + size
		if !p.read(body) {
			return nil
		}
		out = append(out, p)
		at = p.end + len(next)
	}
	return nil
}

// read reads the headers of a part.
func (p *formPart) read(body []byte) bool {
	if p.end < p.start {
		return false
	}
	in := body[p.start:p.end]
	i := bytes.Index(in[:min(len(in), maxFormHeader)], []byte("\r\n\r\n"))
	if i < 0 {
		return false
	}
	p.from, p.to = p.start+i+4, p.end
	h, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(in[:i+4]))).ReadMIMEHeader()
	if err != nil {
		return false
	}
	_, params, err := mime.ParseMediaType(h.Get("Content-Disposition"))
	if err != nil {
		return false
	}
	p.name, p.file = clip([]byte(params["name"]), maxName), clip([]byte(params["filename"]), maxTitle)
	p.media, _, _ = mime.ParseMediaType(h.Get("Content-Type"))
	content := body[p.from:p.to]
	p.isText = bytes.IndexByte(content[:min(len(content), maxFormText)], 0) < 0 && (p.media == "" || strings.HasPrefix(p.media, "text/") || strings.Contains(p.media, "json") || p.media == "application/octet-stream")
	return true
}

// form reads a multipart form: small fields are members, files are documents. It is false if the form is not whole.
func (p *requestParser) form(body []byte, boundary string) bool {
	parts := formParts(body, boundary)
	if parts == nil {
		return false
	}
	for _, part := range parts {
		content := body[part.from:part.to]
		p.cut.loose = true // the boundary before it is another each time
		if part.file == "" && len(content) <= maxFormText && part.isText {
			p.field(part, content)
			continue
		}
		p.documents.add(steno.Document{Title: part.file, Origin: "document"})
		if part.isText && len(content) > 0 {
			p.Texts = append(p.Texts, Text{Start: part.from, End: min(part.to, part.from+maxFormLooked), Origin: "document", New: true, plain: true})
		}
		p.cut.add(part.start, part.end, steno.KindInput)
		p.cut.loose = true
	}
	p.Documents = p.documents.list
	p.chooseUser()
	p.Pieces = p.cut.pieces()
	return true
}

// field reads a field of a form.
func (p *requestParser) field(part formPart, content []byte) {
	words := func(origin string, kind steno.Kind) {
		if len(content) > 0 {
			p.Texts = append(p.Texts, Text{Start: part.from, End: part.to, Origin: origin, New: true, plain: true})
		}
		p.cut.add(part.start, part.end, kind)
		p.cut.loose = true
	}
	switch memberOf(part.name) {
	case turnsMember, promptMember, wordsMember, messageMember:
		p.Prompt.Messages, p.Prompt.New = 1, 1
		words("user", steno.KindInput)
	case systemMember:
		words("system", steno.KindSystem)
	case modelMember:
		p.Model.Asked = clip(content, maxName)
		p.cut.loose = true
	case identityMember:
		if part.name == "user" && len(content) <= maxUser {
			p.user = clip(content, maxUser)
		}
		p.cut.loose = true
	default:
		if part.name == "stream" {
			p.Model.Stream = string(content) == "true"
		}
		if b, err := json.Marshal(clip(content, maxParameter)); err == nil {
			p.parameter(part.name, b)
		}
		p.cut.loose = true
	}
}

// form makes turns from the fields and files of a form; false if it is none. Files are shown by kind and size.
func (s *script) form() bool {
	parts := formParts(s.body, boundaryOf(s.body))
	for _, part := range parts {
		p := Part{Kind: steno.KindInput, Name: part.name, Start: part.from, End: part.to, Body: s.of}
		content := s.body[part.from:part.to]
		role := "user"
		switch is := memberOf(part.name); {
		case part.file != "" || !part.isText || len(content) > maxFormText:
			p.Kind, p.Document = steno.KindContext, &steno.Document{Title: part.file, Origin: "document"}
			if p.Media = part.media; p.Media == "" {
				p.Media = "file"
			}
			p.Media = fmt.Sprintf("%s, %d bytes", clip([]byte(p.Media), 64), len(content))
		case is == systemMember:
			p.Kind, role, p.Text = steno.KindSystem, "system", toText(content)
		case is == turnsMember || is == promptMember || is == wordsMember || is == messageMember:
			p.Text = toText(content)
		default:
			continue
		}
		if n := len(s.turns); n > 0 && s.turns[n-1].Role == role {
			s.turns[n-1].Parts = append(s.turns[n-1].Parts, p)
		} else {
			s.turns = append(s.turns, Turn{Role: role, Parts: []Part{p}, New: true})
		}
	}
	return parts != nil
}
