package stub

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// model is one that the stub lists. Asked by its short name it answers as the dated one.
type model struct {
	name  string
	dated string
	shown string // Anthropic's display name, empty for OpenAI's models
	made  int64  // release, Unix
}

var catalogue = []model{
	{"gpt-4o-mini", "gpt-4o-mini-2024-07-18", "", 1721172741},
	{"gpt-4o", "gpt-4o-2024-08-06", "", 1722814719},
	{"gpt-4.1", "gpt-4.1-2025-04-14", "", 1744315746},
	{"gpt-4.1-mini", "gpt-4.1-mini-2025-04-14", "", 1744317547},
	{"gpt-4.1-nano", "gpt-4.1-nano-2025-04-14", "", 1744321025},
	{"gpt-4-turbo", "gpt-4-turbo-2024-04-09", "", 1712361441},
	{"gpt-4", "gpt-4-0613", "", 1686588896},
	{"gpt-3.5-turbo", "gpt-3.5-turbo-0125", "", 1706048358},
	{"gpt-3.5-turbo-instruct", "gpt-3.5-turbo-instruct", "", 1692901427},
	{"davinci-002", "davinci-002", "", 1692634301},
	{"gpt-5", "gpt-5-2025-08-07", "", 1754425777},
	{"gpt-5-mini", "gpt-5-mini-2025-08-07", "", 1754425928},
	{"gpt-5-nano", "gpt-5-nano-2025-08-07", "", 1754426384},
	{"o1", "o1-2024-12-17", "", 1734375816},
	{"o3", "o3-2025-04-16", "", 1744225308},
	{"o3-mini", "o3-mini-2025-01-31", "", 1737146383},
	{"o4-mini", "o4-mini-2025-04-16", "", 1744225351},
	{"text-embedding-3-small", "text-embedding-3-small", "", 1705948997},
	{"text-embedding-3-large", "text-embedding-3-large", "", 1705953180},
	{"text-embedding-ada-002", "text-embedding-ada-002-v2", "", 1671217299},
	{"claude-opus-4-5", "claude-opus-4-5-20251101", "Claude Opus 4.5", 1761955200},
	{"claude-haiku-4-5", "claude-haiku-4-5-20251001", "Claude Haiku 4.5", 1759276800},
	{"claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "Claude Sonnet 4.5", 1759104000},
	{"claude-opus-4-1", "claude-opus-4-1-20250805", "Claude Opus 4.1", 1754352000},
	{"claude-opus-4-0", "claude-opus-4-20250514", "Claude Opus 4", 1747180800},
	{"claude-sonnet-4-0", "claude-sonnet-4-20250514", "Claude Sonnet 4", 1747180800},
	{"claude-3-7-sonnet-latest", "claude-3-7-sonnet-20250219", "Claude Sonnet 3.7", 1739923200},
	{"claude-3-5-sonnet-latest", "claude-3-5-sonnet-20241022", "Claude Sonnet 3.5", 1729555200},
	{"claude-3-5-haiku-latest", "claude-3-5-haiku-20241022", "Claude Haiku 3.5", 1729555200},
	{"claude-instant-1.2", "claude-instant-1.2", "Claude Instant 1.2", 1691539200},
}

var datedNames = func() map[string]string {
	m := make(map[string]string)
	for _, c := range catalogue {
		m[c.name] = c.dated
	}
	return m
}()

// dated returns the version that answers for a model's name.
func dated(name string) string {
	if d, ok := datedNames[name]; ok {
		return d
	}
	if name == "" || hasDate(name) || strings.ContainsAny(name, ":/") {
		return name
	}
	if strings.HasPrefix(name, "claude-") {
		return strings.TrimSuffix(name, "-latest") + "-20250601"
	}
	return name + "-2025-06-01"
}

// hasDate reports whether a name ends in the digits of a version: 20241022, 2024-07-18, 0613.
func hasDate(name string) bool {
	n := 0
	for i := len(name) - 1; i >= 0 && (name[i] >= '0' && name[i] <= '9' || name[i] == '-'); i-- {
		if name[i] != '-' {
			n++
		}
	}
	return n >= 4
}

// unknownModel begins the names of models that the stub says don't exist.
const unknownModel = "no-such-"

// reasons reports whether a model of OpenAI's thinks before it answers.
func reasons(name string) bool {
	return strings.HasPrefix(name, "gpt-5") || len(name) > 1 && name[0] == 'o' && name[1] >= '1' && name[1] <= '9'
}

func (m *model) append(b []byte) []byte {
	if m.shown != "" {
		b = appendString(append(b, `{"type":"model","id":`...), m.dated)
		b = appendString(append(b, `,"display_name":`...), m.shown)
		b = append(b, `,"created_at":"`...)
		return append(time.Unix(m.made, 0).UTC().AppendFormat(b, time.RFC3339), '"', '}')
	}
	b = appendString(append(b, `{"id":`...), m.name)
	b = strconv.AppendInt(append(b, `,"object":"model","created":`...), m.made, 10)
	return append(b, `,"owned_by":"system"}`...)
}

// listModels lists the models of the provider that is asked.
func (a *ask) listModels() reply {
	theirs := a.anthropic()
	var b []byte
	first, last := "", ""
	for i := range catalogue {
		m := &catalogue[i]
		if theirs != (m.shown != "") {
			continue
		}
		if first == "" {
			first = m.dated
		} else {
			b = append(b, ',')
		}
		last = m.dated
		b = m.append(b)
	}
	if theirs {
		b = append(append([]byte(`{"data":[`), b...), `],"has_more":false,"first_id":`...)
		b = appendString(append(appendString(b, first), `,"last_id":`...), last)
		return reply{status: http.StatusOK, body: append(b, '}')}
	}
	b = append(append([]byte(`{"object":"list","data":[`), b...), ']', '}')
	return reply{status: http.StatusOK, body: append(appendIndented(nil, b), '\n')}
}

func (a *ask) oneModel(name string) (reply, *apiError) {
	for i := range catalogue {
		m := &catalogue[i]
		if a.anthropic() != (m.shown != "") || name != m.name && name != m.dated {
			continue
		}
		b := m.append(nil)
		if m.shown == "" {
			b = append(appendIndented(nil, b), '\n')
		}
		return reply{status: http.StatusOK, body: b}, nil
	}
	e := &apiError{
		status: http.StatusNotFound, kind: "invalid_request_error", param: "model", code: "model_not_found",
		message: "The model '" + name + "' does not exist",
	}
	if a.anthropic() {
		e.message = "model: " + name
	}
	return reply{}, e
}
