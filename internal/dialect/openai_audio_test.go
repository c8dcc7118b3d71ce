package dialect

import "testing"

func TestSpeech(t *testing.T) {
	const tokens = `usage {"source":"reported","gen_ai.usage.input_tokens":14,"gen_ai.usage.output_tokens":5,"steno.usage.total_tokens":19}`
	const used = `"usage":{"type":"tokens","input_tokens":14,"output_tokens":5,"total_tokens":19}`
	testReadings(t, []reading{
		{OpenAI, "POST", "/v1/audio/speech", "audio/mpeg", "ID3\x00sound", "media audio/mpeg, 9 bytes"},
		{
			OpenAI, "POST", "/v1/audio/speech", "text/event-stream", sent(`speech.audio.delta {"type":"speech.audio.delta","audio":"QUJDQUJD"}`, `speech.audio.delta {"type":"speech.audio.delta","audio":"QUJD"}`, `speech.audio.done {"type":"speech.audio.done",`+used+`}`),
			tokens + "\nmedia audio, some 9 bytes",
		},
		{OpenAI, "POST", "/v1/audio/speech", "text/event-stream", sent(`speech.audio.delta {"type":"speech.audio.delta","audio":"QUJD"}`), "end upstream_cut \nmedia audio, some 3 bytes"},
		{
			OpenAI, "POST", "/v1/audio/transcriptions", "", `{"text":"The court reporter.","logprobs":[{"token":"The","logprob":-0.5},{"token":" court","logprob":-1.5}],` + used + `}`,
			tokens + "\noutput: The court reporter.\nlogprob_mean -1\nlogprob_min -1.5",
		},
		{OpenAI, "POST", "/v1/audio/transcriptions", "", `{"task":"transcribe","language":"english","duration":8.4,"text":"Hello.","segments":[{"id":0,"text":"Hello.","avg_logprob":-0.2}],"usage":{"type":"duration","seconds":9}}`, "output: Hello."},
		{OpenAI, "POST", "/v1/audio/translations", "text/plain; charset=utf-8", "Hello.\n", "output: Hello.\n"},
		{
			OpenAI, "POST", "/v1/audio/transcriptions", "text/event-stream", sent(
				`transcript.text.delta {"type":"transcript.text.delta","delta":"The court","logprobs":[{"token":"The","logprob":-1}]}`, `transcript.text.delta {"type":"transcript.text.delta","delta":" reporter."}`,
				`transcript.text.done {"type":"transcript.text.done","text":"The court reporter.","logprobs":[{"token":"The","logprob":-1}],`+used+`}`),
			tokens + "\noutput: The court reporter.\nlogprob_mean -1\nlogprob_min -1",
		},
		{OpenAI, "POST", "/v1/audio/transcriptions", "text/event-stream", sent(
			`transcript.text.segment {"type":"transcript.text.segment","id":"s1","speaker":"A","text":"Hello. "}`, `transcript.text.segment {"type":"transcript.text.segment","id":"s2","speaker":"B","text":"Hi."}`,
			`transcript.text.done {"type":"transcript.text.done","text":"Hello. Hi."}`), "output: Hello. Hi."},
	})
}
