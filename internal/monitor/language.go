package monitor

import (
	"encoding/json"
	"net/http"

	"github.com/abadojack/whatlanggo"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/dialect"
	"github.com/steno-audit/steno/internal/journal"
	"github.com/steno-audit/steno/internal/seal"
)

const (
	languageSample = 300     // answers of a model and day whose language is looked at
	languageBytes  = 2 << 10 // of an answer
	answerBytes    = 1 << 20
)

// language is the ISO 639-3 code of the language of an answer, "" if it has too few words to tell.
func (f *Follower) language(e *journal.Entry, meta *seal.Opened) string {
	if meta.Model == nil || meta.Result.End != steno.EndComplete || meta.Result.Parts > 0 || meta.Result.Bytes > answerBytes {
		return ""
	}
	o, err := f.cfg.Keys.Open(e.Leaf, e.Body, func(i uint64) (*steno.Leaf, []byte, error) {
		e, err := f.cfg.Log.Read(i)
		if err != nil {
			return nil, nil, err
		}
		return e.Leaf, e.Body, nil
	}, steno.SectionOutput)
	if err != nil {
		return ""
	}
	body, err := steno.Join(o.Response)
	if err != nil {
		return ""
	}
	var head struct{ Headers http.Header }
	for _, p := range o.Response {
		if p.Kind == steno.KindHead && json.Unmarshal(p.Bytes, &head) != nil {
			return ""
		}
	}
	plain, ok := dialect.Decode(body, head.Headers.Get("Content-Encoding"), answerBytes)
	if !ok {
		return ""
	}
	call := dialect.Call{Dialect: meta.Model.Dialect, API: meta.Model.API, Operation: meta.Model.Operation}
	var words []byte
	for _, t := range call.ParseResponse(meta.Result.Status, head.Headers, plain, false).Texts {
		words = append(append(words, t.Words(plain)...), '\n')
	}
	if len(words) < 40 {
		return ""
	}
	info := whatlanggo.Detect(string(words[:min(len(words), languageBytes)]))
	if !info.IsReliable() {
		return ""
	}
	return info.Lang.Iso6393()
}
