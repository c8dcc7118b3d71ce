package dialect

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/steno-audit/steno"
)

// formOf is a form as an SDK sends it.
func formOf(parts ...string) (string, http.Header) {
	const b = "----x7"
	var out strings.Builder
	for _, p := range parts {
		head, content, _ := strings.Cut(p, "|")
		fmt.Fprintf(&out, "--%s\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n", b, head, content)
	}
	out.WriteString("--" + b + "--\r\n")
	return out.String(), http.Header{"Content-Type": {"multipart/form-data; boundary=" + b}}
}

var transcribe = Call{Dialect: OpenAI, API: "transcriptions", Operation: "transcription"}

func TestAForm(t *testing.T) {
	body, h := formOf(`name="model"|whisper-1`, `name="prompt"|Names: Ana.`, `name="temperature"|0.2`, `name="user"|u-1`,
		"name=\"file\"; filename=\"talk.mp3\"\r\nContent-Type: audio/mpeg|ID3\x00\x01\x02--x7", `name="stream"|true`)
	r := transcribe.ParseRequest([]byte(body), h)
	if got, err := steno.Join(r.Pieces); err != nil || string(got) != body {
		t.Fatalf("the pieces do not make the form again: %v", err)
	}
	if !r.Understood || r.Model.Asked != "whisper-1" || r.User != "u-1" || !r.Model.Stream || string(r.Model.Parameters["temperature"]) != `"0.2"` {
		t.Errorf("read as %+v", r)
	}
	if len(r.Texts) != 1 || string(r.Texts[0].Words([]byte(body))) != "Names: Ana." {
		t.Errorf("texts %+v", r.Texts)
	}
	if len(r.Documents) != 1 || r.Documents[0].Title != "talk.mp3" {
		t.Errorf("documents %+v", r.Documents)
	}
}

func TestAFileOfTextIsLookedAt(t *testing.T) {
	body, h := formOf(`name="purpose"|fine-tune`, "name=\"file\"; filename=\"train.jsonl\"\r\nContent-Type: application/jsonl|{\"messages\":[]}")
	r := Call{Dialect: OpenAI, API: "files", Operation: "manage"}.ParseRequest([]byte(body), h)
	if len(r.Texts) != 1 || r.Texts[0].Origin != "document" || string(r.Texts[0].Words([]byte(body))) != `{"messages":[]}` {
		t.Errorf("texts %+v", r.Texts)
	}
}

func TestAFormThatIsNotWhole(t *testing.T) {
	body, h := formOf(`name="model"|whisper-1`)
	for _, cut := range []int{3, 20, len(body) - 6} {
		r := transcribe.ParseRequest([]byte(body[:cut]), h)
		if got, err := steno.Join(r.Pieces); err != nil || string(got) != body[:cut] || r.Understood {
			t.Errorf("cut at %d: understood %v, %v", cut, r.Understood, err)
		}
	}
}

// The boundary is another each time; what stands between is stored once.
func TestFormsAreCutAlike(t *testing.T) {
	body, h := formOf("name=\"file\"; filename=\"talk.mp3\"\r\nContent-Type: audio/mpeg|ID3\x00\x01", `name="prompt"|Names: Ana.`)
	other := strings.ReplaceAll(body, "----x7", "--another")
	pieces := map[string]bool{}
	for _, p := range transcribe.ParseRequest([]byte(body), h).Pieces {
		pieces[string(p.Bytes)] = true
	}
	same := 0
	for _, p := range transcribe.ParseRequest([]byte(other), http.Header{"Content-Type": {"multipart/form-data; boundary=--another"}}).Pieces {
		if p.Kind != steno.KindFrame && !pieces[string(p.Bytes)] {
			t.Errorf("a piece that is not the same: %q", p.Bytes)
		} else if p.Kind != steno.KindFrame {
			same++
		}
	}
	if same != 2 {
		t.Errorf("%d pieces", same)
	}
}

func TestAFormIsShown(t *testing.T) {
	body, _ := formOf(`name="model"|whisper-1`, `name="prompt"|Names: Ana.`, "name=\"file\"; filename=\"talk.mp3\"\r\nContent-Type: audio/mpeg|ID3\x00\x01")
	turns := transcribe.Transcript([]byte(body), []byte(`{"text":"Hello."}`), "application/json")
	if len(turns) != 2 || len(turns[0].Parts) != 2 {
		t.Fatalf("turns %+v", turns)
	}
	words, file := turns[0].Parts[0], turns[0].Parts[1]
	if words.Text != "Names: Ana." || body[words.Start:words.End] != words.Text || file.Text != "" || file.Media != "audio/mpeg, 5 bytes" || file.Document.Title != "talk.mp3" {
		t.Errorf("parts %+v %+v", words, file)
	}
}

func FuzzForm(f *testing.F) {
	body, h := formOf(`name="model"|whisper-1`, `name="file"; filename="a"|x`)
	f.Add([]byte(body))
	f.Add([]byte("------x7\r\n\r\n\r\n------x7--"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := transcribe.ParseRequest(b, h)
		for _, turn := range transcribe.Transcript(b, nil, "") {
			for _, p := range turn.Parts {
				if p.Start < 0 || p.End > len(b) || p.Start > p.End {
					t.Fatalf("a part at %d to %d of %d", p.Start, p.End, len(b))
				}
			}
		}
		if got, err := steno.Join(r.Pieces); err != nil || string(got) != string(b) {
			t.Fatalf("the pieces do not make the form again: %v", err)
		}
		for _, w := range r.Texts {
			if w.Start >= w.End || w.End > len(b) {
				t.Fatalf("a text at %d to %d of %d", w.Start, w.End, len(b))
			}
		}
	})
}
