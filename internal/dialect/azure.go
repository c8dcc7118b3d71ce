package dialect

import "strings"

// azure is the grammar of Azure OpenAI: OpenAI's, under paths of its own that name a deployment in the model's place.
type azure struct{ openAI }

func (azure) call(c *Call, method, path string) {
	rest, ok := strings.CutPrefix(path, "/openai/")
	if !ok {
		openAI{}.call(c, method, path)
		return
	}
	model := ""
	if in, ok := strings.CutPrefix(rest, "deployments/"); ok {
		model, rest, _ = strings.Cut(in, "/")
	}
	openAI{}.call(c, method, "/v1/"+strings.TrimPrefix(rest, "v1/"))
	c.Model = clip([]byte(model), maxName)
}
