package foreign

import (
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/steno-audit/steno"
)

// bedrockPaths are the ends of the paths under which Bedrock's operations are called. What a stream said is logged as one
// object, so it is read as the answer of the call that does not stream.
var bedrockPaths = map[string]string{
	"Converse": "converse", "ConverseStream": "converse", "InvokeModel": "invoke", "InvokeModelWithResponseStream": "invoke",
}

// bedrock reads a record of Amazon Bedrock's model invocation log (schemaType ModelInvocationLog). The log is the
// provider's own.
func bedrock(m *fields) (*steno.Submission, error) {
	m.value("schemaType")
	m.value("schemaVersion")
	s := newCall("bedrock", "independent", m.text("requestId"))
	s.Time, _ = m.at("timestamp")
	operation, model := m.text("operation"), m.text("modelId")
	s.Model.Asked, s.Model.Provider, s.Model.Dialect = model, "aws.bedrock", "bedrock"
	s.Model.Stream = operation == "ConverseStream" || operation == "InvokeModelWithResponseStream"
	in, out := m.in("input"), m.in("output")
	s.Result.RequestID = s.Origin.ID
	s.Result.Usage = tokens(in.count("inputTokenCount"), out.count("outputTokenCount"), nil)
	if u := s.Result.Usage; u != nil {
		u.CacheRead, u.CacheWrite = in.count("cacheReadInputTokenCount"), in.count("cacheWriteInputTokenCount")
		if u.Input != nil { // cached ones are counted apart there, and included here
			n := *u.Input + zeroIfNil(u.CacheRead) + zeroIfNil(u.CacheWrite)
			u.Input = &n
		}
	}
	s.Result.End = steno.EndComplete
	if code := m.text("errorCode"); code != "" {
		s.Result.End, s.Result.ErrorType = steno.EndProviderError, code
	}
	region := m.first("region", "inferenceRegion")
	s.Model.Method, s.Model.Path = http.MethodPost, "/model/"+url.PathEscape(model)+"/"+orElse(bedrockPaths[operation], "invoke")
	if body := words(in.value("inputBodyJson")); body != nil {
		s.Request = &steno.Message{
			Method: http.MethodPost, URL: "https://bedrock-runtime." + region + ".amazonaws.com" + s.Model.Path,
			Headers: jsonHeaders(in.text("inputContentType")), Body: body,
		}
	}
	if body := words(out.value("outputBodyJson")); body != nil {
		s.Response = &steno.Message{Status: http.StatusOK, Headers: jsonHeaders(""), Body: body}
		out.value("outputContentType") // of the stream; what is logged is JSON
	}
	left := m.left()
	if region != "" {
		left["region"], _ = json.Marshal(region) // a string always marshals
	}
	for prefix, f := range map[string]*fields{"input.": in, "output.": out} {
		for name, v := range f.left() {
			left[prefix+name] = v // also where a body too large for the log lies
		}
		if m.wrong == nil {
			m.wrong = f.wrong
		}
	}
	details(s, left)
	return s, nil
}

func jsonHeaders(media string) http.Header {
	return http.Header{"Content-Type": {orElse(media, "application/json")}}
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func zeroIfNil(p *int64) int64 {
	if p == nil {
		return 0
	}
	return *p
}
