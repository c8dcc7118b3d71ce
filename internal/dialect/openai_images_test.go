package dialect

import "testing"

func TestImages(t *testing.T) {
	const tokens = `{"source":"reported","gen_ai.usage.input_tokens":12,"gen_ai.usage.output_tokens":196,"steno.usage.total_tokens":208}`
	const used = `"usage":{"input_tokens":12,"output_tokens":196,"total_tokens":208,"input_tokens_details":{"text_tokens":12,"image_tokens":0}}`
	testReadings(t, []reading{
		{
			OpenAI, "POST", "/v1/images/generations", "", `{"created":1,"output_format":"png","size":"1024x1024","data":[{"b64_json":"QUJDQUJD"},{"b64_json":"QUJD"}],` + used + `}`,
			"usage " + tokens + "\nmedia image/png, 6 bytes\nmedia image/png, 3 bytes",
		},
		{
			OpenAI, "POST", "/v1/images/variations", "", `{"created":1,"data":[{"url":"https://img.example/1.png","revised_prompt":"A finer prompt."}]}`,
			"output: A finer prompt.\nmedia image at https://img.example/1.png",
		},
		{
			OpenAI, "POST", "/v1/images/edits", "text/event-stream", sent(
				`image_edit.partial_image {"type":"image_edit.partial_image","b64_json":"QUJD","partial_image_index":0,"output_format":"webp"}`,
				`image_edit.completed {"type":"image_edit.completed","b64_json":"QUJDQUJD","output_format":"webp",`+used+`}`),
			"usage " + tokens + "\nmedia part of image/webp, 3 bytes\nmedia image/webp, 6 bytes",
		},
		{
			OpenAI, "POST", "/v1/images/generations", "text/event-stream", sent(`image_generation.partial_image {"type":"image_generation.partial_image","b64_json":"QUJD"}`),
			"end upstream_cut \nmedia part of image, 3 bytes",
		},
		{
			OpenAI, "POST", "/v1/images/generations", "text/event-stream", sent(`error {"type":"error","error":{"type":"image_generation_user_error","code":"moderation_blocked","message":"no"}}`),
			"end error_in_answer moderation_blocked",
		},
	})
}

// The request's images are pieces of their own and nothing that checks look at; its prompt is.
func TestAnImageToBeChanged(t *testing.T) {
	r := parse(t, Call{Dialect: OpenAI, API: "images", Operation: "image_generation"}, `{"model":"gpt-image-1","images":[{"image_url":"data:image/png;base64,QUJDQUJDQUJDQUJDQUJD"}],"mask":{"file_id":"file-1"},"prompt":"a hat on the cat","n":2,"stream":true}`)
	if len(r.Texts) != 1 || r.Prompt.Messages != 1 || !r.Model.Stream || r.Model.Asked != "gpt-image-1" || string(r.Model.Parameters["n"]) != "2" || len(r.Model.Parameters) != 2 {
		t.Errorf("read as %s %+v", asJSON(r.Model), r.Texts)
	}
}
