// The official OpenAI SDK, its calls compared byte for byte.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';
import { all, direct, key, openaiBase, proven, provenPart, recorder } from './wire.js';

function client(options) {
  const { fetch, calls } = recorder();
  const openai = new OpenAI({ apiKey: key, baseURL: openaiBase, fetch, maxRetries: 0, timeout: 60_000, ...options });
  return { openai, calls };
}

const model = 'gpt-4o-mini';
const dated = 'gpt-4o-mini-2024-07-18';
const messages = [
  { role: 'system', content: 'You answer briefly. – “naïve” 😀' },
  { role: 'user', content: 'How deep is the harbour of Rotterdam,\nand "who" measured it?' },
];
const weather = {
  name: 'get_weather',
  description: 'The weather of a place',
  parameters: {
    type: 'object',
    properties: { location: { type: 'string' }, unit: { type: 'string', enum: ['celsius', 'fahrenheit'] } },
    required: ['location', 'unit'],
    additionalProperties: false,
  },
};
const askWeather = 'How is the weather in Lisbon and Turin today?';

test('chat', async () => {
  const { openai, calls } = client();
  const answer = await openai.chat.completions.create({ model, messages, user: 'u-1' });
  assert.equal(answer.model, dated);
  assert.equal(answer.choices[0].finish_reason, 'stop');
  assert.ok(answer.choices[0].message.content.length > 20);
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
  await proven(calls[0]);
});

test('chat, two choices with log probabilities', async () => {
  const { openai, calls } = client();
  const answer = await openai.chat.completions.create({ model, messages, n: 2, logprobs: true, top_logprobs: 3, max_tokens: 12 });
  for (const choice of answer.choices) {
    assert.equal(choice.finish_reason, 'length');
    assert.equal(choice.logprobs.content.map((t) => t.token).join(''), choice.message.content);
  }
  await proven(calls[0]);
});

test('chat, streamed', async () => {
  const { openai, calls } = client();
  const chunks = await all(await openai.chat.completions.create({ model, messages, stream: true, stream_options: { include_usage: true } }));
  const words = chunks.map((c) => c.choices[0]?.delta.content ?? '').join('');
  assert.ok(words.length > 20);
  assert.ok(chunks.at(-1).usage.completion_tokens > 5);
  assert.equal(chunks.at(-2).choices[0].finish_reason, 'stop');
  await proven(calls[0]);
});

test('chat, streamed slowly, without regard to events', async () => {
  const { openai, calls } = client();
  const options = { headers: { 'x-stub': 'slow-body=1ms,words=20' } };
  const chunks = await all(await openai.chat.completions.create({ model, messages, stream: true }, options));
  assert.equal(chunks.map((c) => c.choices[0].delta.content ?? '').join('').split(/\s+/).length, 20);
  await proven(calls[0]);
});

test('chat, long', async () => {
  const { openai, calls } = client();
  const chunks = await all(await openai.chat.completions.create({ model: `${model}+words=3000`, messages, stream: true }));
  assert.ok(chunks.length > 3000);
  await proven(calls[0]);
});

test('tools', async () => {
  const { openai, calls } = client();
  const tools = [{ type: 'function', function: { ...weather, strict: true } }];
  const asked = [{ role: 'user', content: askWeather }];
  const answer = await openai.chat.completions.create({ model, messages: asked, tools });
  assert.equal(answer.choices[0].finish_reason, 'tool_calls');
  const [call] = answer.choices[0].message.tool_calls;
  assert.equal(call.function.name, 'get_weather');
  assert.ok(['Lisbon', 'Turin'].includes(JSON.parse(call.function.arguments).location));
  await proven(calls[0]);

  const result = { role: 'tool', tool_call_id: call.id, content: '{"sky":"clear"}' };
  const after = await openai.chat.completions.create({ model, messages: [...asked, answer.choices[0].message, result], tools });
  assert.equal(after.choices[0].finish_reason, 'stop');
  await proven(calls[1]);
});

test('tools, streamed', async () => {
  const { openai, calls } = client();
  const tools = [{ type: 'function', function: weather }];
  const runner = openai.chat.completions.stream({ model, messages: [{ role: 'user', content: askWeather }], tools });
  const answer = await runner.finalChatCompletion();
  const [call] = answer.choices[0].message.tool_calls;
  assert.equal(call.function.name, 'get_weather');
  assert.ok(['celsius', 'fahrenheit'].includes(JSON.parse(call.function.arguments).unit));
  await proven(calls[0]);
});

test('a refusal', async () => {
  const { openai, calls } = client();
  const answer = await openai.chat.completions.create({ model: `${model}+refuse`, messages });
  assert.equal(answer.choices[0].message.content, null);
  assert.ok(answer.choices[0].message.refusal);
  await proven(calls[0]);
});

test('completions', async () => {
  const { openai, calls } = client();
  const answer = await openai.completions.create({ model: 'gpt-3.5-turbo-instruct', prompt: 'A ship is', max_tokens: 15 });
  assert.equal(answer.usage.completion_tokens, 15);
  const chunks = await all(await openai.completions.create({ model: 'gpt-3.5-turbo-instruct', prompt: 'A ship is', stream: true }));
  assert.equal(chunks.at(-1).choices[0].finish_reason, 'stop');
  for (const call of calls) await proven(call);
});

test('responses', async () => {
  const { openai, calls } = client();
  const answer = await openai.responses.create({ model, instructions: 'Be brief.', input: messages[1].content, metadata: { a: 'b' } });
  assert.equal(answer.status, 'completed');
  assert.ok(answer.output_text.length > 20);
  const next = await openai.responses.create({ model, input: 'And the tide?', previous_response_id: answer.id });
  assert.equal(next.previous_response_id, answer.id);
  assert.ok(next.usage.input_tokens > answer.usage.total_tokens);
  const short = await openai.responses.create({ model, input: 'And now?', max_output_tokens: 16 });
  assert.equal(short.incomplete_details.reason, 'max_output_tokens');
  for (const call of calls) await proven(call);
});

test('responses, streamed', async () => {
  const { openai, calls } = client();
  const events = await all(await openai.responses.create({ model, input: messages[1].content, stream: true }));
  events.forEach((e, i) => assert.equal(e.sequence_number, i));
  assert.equal(events[0].type, 'response.created');
  const last = events.at(-1);
  assert.equal(last.type, 'response.completed');
  const words = events.filter((e) => e.type === 'response.output_text.delta').map((e) => e.delta);
  assert.equal(words.join(''), last.response.output[0].content[0].text);
  await proven(calls[0]);
});

test('responses, streamed with reasoning and a function call', async () => {
  const { openai, calls } = client();
  const tools = [{ type: 'function', ...weather, strict: true }];
  const runner = openai.responses.stream({ model: 'gpt-5', input: askWeather, tools, reasoning: { summary: 'auto' } });
  const answer = await runner.finalResponse();
  const call = answer.output.find((o) => o.type === 'function_call');
  assert.equal(call.name, 'get_weather');
  assert.ok(JSON.parse(call.arguments).location);
  assert.ok(answer.output.find((o) => o.type === 'reasoning').summary[0].text);
  await proven(calls[0]);
});

test('embeddings', async () => {
  const { openai, calls } = client();
  const packed = await openai.embeddings.create({ model: 'text-embedding-3-small', input: ['one', 'two'] }); // the SDK asks for base64
  const floats = await openai.embeddings.create({ model: 'text-embedding-3-small', input: ['one', 'two'], encoding_format: 'float' });
  assert.equal(packed.data[1].embedding.length, 1536);
  packed.data[1].embedding.forEach((x, i) => assert.ok(Math.abs(x - floats.data[1].embedding[i]) < 1e-6));
  for (const call of calls) await proven(call);
});

test('models', async () => {
  const { openai, calls } = client();
  const ids = (await all(openai.models.list())).map((m) => m.id);
  assert.ok(ids.includes(model));
  assert.equal((await openai.models.retrieve(model)).id, model);
  for (const call of calls) await proven(call);
});

test('errors', async (t) => {
  const { openai, calls } = client();
  const ask = (knob, more) => openai.chat.completions.create({ model, messages, ...more }, { headers: { 'x-stub': knob } });
  const cases = {
    '429 with retry-after': [() => ask('fail=429;retry-after=7'), OpenAI.RateLimitError, 429],
    500: [() => ask('fail=500'), OpenAI.InternalServerError, 500],
    '503 of a stream': [() => ask('fail=overloaded', { stream: true }), OpenAI.InternalServerError, 503],
    'a path that is not there': [() => openai.post('/nowhere', { body: { a: 1 } }), OpenAI.NotFoundError, 404],
    'a model that is not there': [() => openai.chat.completions.create({ model: 'no-such-model', messages }), OpenAI.NotFoundError, 404],
    'a body that is no JSON': [
      () => openai.post('/chat/completions', { body: new TextEncoder().encode('{"model": "gpt-4o-mini", "messages": ['), headers: { 'content-type': 'application/json' } }),
      OpenAI.BadRequestError,
      400,
    ],
    'a body that lacks a member': [() => openai.chat.completions.create({ model }), OpenAI.BadRequestError, 400],
  };
  for (const [name, [call, kind, status]] of Object.entries(cases)) {
    await t.test(name, async () => {
      const before = calls.length;
      await assert.rejects(call(), (error) => {
        assert.ok(error instanceof kind, `${error}`);
        assert.equal(error.status, status);
        assert.ok(error.message);
        if (status === 429) assert.equal(error.headers.get('retry-after'), '7');
        return true;
      });
      assert.equal(calls.length, before + 1);
      await proven(calls.at(-1));
    });
  }
});

test('an error inside a stream', async () => {
  const { openai, calls } = client();
  const stream = await openai.chat.completions.create({ model, messages, stream: true }, { headers: { 'x-stub': 'error-in-stream=4' } });
  await assert.rejects(all(stream), OpenAI.APIError);
  await calls[0].ended;
  await proven(calls[0]);
});

test('an answer whose JSON is broken', async () => {
  const { openai, calls } = client();
  await assert.rejects(openai.chat.completions.create({ model, messages }, { headers: { 'x-stub': 'badjson' } }));
  await proven(calls[0]);
});

test('a stream cut in the middle of an event', async () => {
  const { openai, calls } = client();
  const stream = await openai.chat.completions.create({ model, messages, stream: true }, { headers: { 'x-stub': 'cut,words=40' } });
  await assert.rejects(all(stream));
  const want = await direct(calls[0]);
  assert.ok(want.error, 'the stub itself did not cut');
  await provenPart(calls[0], want.body);
});

test('the client leaves in the middle of a stream', async () => {
  const { openai, calls } = client();
  const body = { model, messages, stream: true };
  const stream = await openai.chat.completions.create(body, { headers: { 'x-stub': 'delay=2ms,words=300' } });
  let n = 0;
  for await (const chunk of stream) {
    assert.equal(chunk.object, 'chat.completion.chunk');
    if (++n === 20) stream.controller.abort();
  }
  assert.ok(n >= 20);
  await calls[0].ended;
  await provenPart(calls[0]);
});
