package dialect

import "strings"

// hosts are the ends of the addresses under which providers are reached, and their names in OpenTelemetry's
// gen_ai.provider.name (semantic conventions 1.37); those that it does not list go by their own.
var hosts = []struct{ end, provider string }{
	{"api.openai.com", "openai"},
	{"openai.azure.com", "azure.ai.openai"},
	{"services.ai.azure.com", "azure.ai.inference"},
	{"api.anthropic.com", "anthropic"},
	{"aiplatform.googleapis.com", "gcp.vertex_ai"},
	{"generativelanguage.googleapis.com", "gcp.gemini"},
	{"amazonaws.com", "aws.bedrock"},
	{"cohere.com", "cohere"},
	{"cohere.ai", "cohere"},
	{"mistral.ai", "mistral_ai"},
	{"groq.com", "groq"},
	{"deepseek.com", "deepseek"},
	{"perplexity.ai", "perplexity"},
	{"x.ai", "x_ai"},
	{"cloud.ibm.com", "ibm.watsonx.ai"},
	{"together.xyz", "together_ai"},
	{"together.ai", "together_ai"},
	{"fireworks.ai", "fireworks_ai"},
	{"openrouter.ai", "openrouter"},
	{"voyageai.com", "voyage_ai"},
	{"writer.com", "writer"},
	{"huggingface.co", "huggingface"},
	{"cerebras.ai", "cerebras"},
	{"api.jina.ai", "jina_ai"},
}

// makers are the providers of the dialects that one provider alone speaks.
var makers = map[string]string{Gemini: "gcp.gemini", Bedrock: "aws.bedrock", Azure: "azure.ai.openai", Mistral: "mistral_ai"}

// Provider is OpenTelemetry's name for who runs the models behind an upstream: by its host, else by the name that the
// operator gave it, else by its dialect.
func Provider(dialect, name, host string) string {
	host, _, _ = strings.Cut(strings.ToLower(host), ":")
	for _, h := range hosts {
		if host == h.end || strings.HasSuffix(host, "."+h.end) || strings.HasSuffix(host, "-"+h.end) {
			return h.provider
		}
	}
	name = strings.ReplaceAll(strings.ToLower(name), "-", "_")
	for _, h := range hosts {
		if name == h.provider || name == strings.TrimSuffix(strings.TrimSuffix(h.provider, "_ai"), "_ai") {
			return h.provider
		}
	}
	if p := makers[dialect]; p != "" {
		return p
	}
	return dialect
}
