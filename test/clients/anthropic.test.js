// The official Anthropic SDK, its calls compared byte for byte.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { all, anthropicBase, direct, key, proven, provenPart, recorder } from './wire.js';

function client(options) {
  const { fetch, calls } = recorder();
  const anthropic = new Anthropic({ apiKey: key, baseURL: anthropicBase, fetch, maxRetries: 0, timeout: 60_000, ...options });
  return { anthropic, calls };
}

const model = 'claude-opus-4-5';
const dated = 'claude-opus-4-5-20251101';
const question = { role: 'user', content: 'How deep is the harbour of Rotterdam,\nand "who" measured it? – naïvely 😀' };
const ask = { model, max_tokens: 2000, messages: [question] };
const tools = [
  {
    name: 'get_weather',
    description: 'The weather of a place',
    input_schema: {
      type: 'object',
      properties: { location: { type: 'string' }, unit: { type: 'string', enum: ['celsius', 'fahrenheit'] } },
      required: ['location'],
    },
  },
];
const askWeather = [{ role: 'user', content: 'How is the weather in Lisbon and Turin today?' }];

test('messages', async () => {
  const { anthropic, calls } = client();
  const answer = await anthropic.messages.create({ ...ask, system: 'Be brief.', metadata: { user_id: 'u-1' } });
  assert.equal(answer.model, dated);
  assert.equal(answer.stop_reason, 'end_turn');
  assert.ok(answer.content[0].text.length > 20);
  const short = await anthropic.messages.create({ ...ask, max_tokens: 5 });
  assert.equal(short.stop_reason, 'max_tokens');
  for (const call of calls) await proven(call);
});

test('messages with a cached system prompt', async () => {
  const { anthropic, calls } = client();
  const system = [{ type: 'text', text: 'A long rule. '.repeat(500), cache_control: { type: 'ephemeral' } }];
  const answer = await anthropic.messages.create({ ...ask, system });
  assert.ok(answer.usage.cache_creation_input_tokens > 1000);
  await proven(calls[0]);
});

test('messages, streamed', async () => {
  const { anthropic, calls } = client();
  const events = await all(await anthropic.messages.create({ ...ask, stream: true }));
  assert.equal(events[0].type, 'message_start');
  assert.equal(events.at(-1).type, 'message_stop');
  assert.equal(events.at(-2).delta.stop_reason, 'end_turn');
  await proven(calls[0]);
});

test('messages, streamed, put together by the SDK', async () => {
  const { anthropic, calls } = client();
  const message = await anthropic.messages.stream({ ...ask, thinking: { type: 'enabled', budget_tokens: 1024 } }).finalMessage();
  assert.deepEqual(
    message.content.map((c) => c.type),
    ['thinking', 'text'],
  );
  assert.ok(message.content[0].signature);
  assert.ok(message.usage.output_tokens > 20);
  await proven(calls[0]);
});

test('tools', async () => {
  const { anthropic, calls } = client();
  const answer = await anthropic.messages.create({ ...ask, messages: askWeather, tools });
  assert.equal(answer.stop_reason, 'tool_use');
  const use = answer.content.find((c) => c.type === 'tool_use');
  assert.ok(['Lisbon', 'Turin'].includes(use.input.location));
  const result = { role: 'user', content: [{ type: 'tool_result', tool_use_id: use.id, content: 'clear weather' }] };
  const after = await anthropic.messages.create({ ...ask, messages: [...askWeather, { role: 'assistant', content: answer.content }, result], tools });
  assert.equal(after.stop_reason, 'end_turn');
  for (const call of calls) await proven(call);
});

test('tools, streamed', async () => {
  const { anthropic, calls } = client();
  const message = await anthropic.messages.stream({ ...ask, messages: askWeather, tools }).finalMessage();
  const use = message.content.find((c) => c.type === 'tool_use');
  assert.equal(use.name, 'get_weather');
  assert.ok(use.input.location);
  await proven(calls[0]);
});

test('count_tokens', async () => {
  const { anthropic, calls } = client();
  const count = await anthropic.messages.countTokens({ model, messages: [question] });
  const answer = await anthropic.messages.create(ask);
  assert.equal(count.input_tokens, answer.usage.input_tokens);
  for (const call of calls) await proven(call);
});

test('models', async () => {
  const { anthropic, calls } = client();
  const ids = (await all(anthropic.models.list())).map((m) => m.id);
  assert.ok(ids.includes(dated));
  assert.equal((await anthropic.models.retrieve(model)).id, dated);
  for (const call of calls) await proven(call);
});

test('a refusal', async () => {
  const { anthropic, calls } = client();
  const answer = await anthropic.messages.create({ ...ask, model: `${model}+refuse` });
  assert.equal(answer.stop_reason, 'refusal');
  await proven(calls[0]);
});

test('errors', async (t) => {
  const { anthropic, calls } = client();
  const fail = (knob, more) => anthropic.messages.create({ ...ask, ...more }, { headers: { 'x-stub': knob } });
  const cases = {
    '429 with retry-after': [() => fail('fail=429;retry-after=7'), Anthropic.RateLimitError, 429, 'rate_limit_error'],
    500: [() => fail('fail=500'), Anthropic.InternalServerError, 500, 'api_error'],
    '529 of a stream': [() => fail('fail=overloaded', { stream: true }), Anthropic.InternalServerError, 529, 'overloaded_error'],
    'a path that is not there': [() => anthropic.post('/v1/nowhere', { body: { a: 1 } }), Anthropic.NotFoundError, 404, 'not_found_error'],
    'a body that is no JSON': [
      () => anthropic.post('/v1/messages', { body: new TextEncoder().encode('{"model": "claude'), headers: { 'content-type': 'application/json' } }),
      Anthropic.BadRequestError,
      400,
      'invalid_request_error',
    ],
    'a body that lacks a member': [() => anthropic.messages.create({ model, messages: [question] }), Anthropic.BadRequestError, 400, 'invalid_request_error'],
  };
  for (const [name, [call, kind, status, type]] of Object.entries(cases)) {
    await t.test(name, async () => {
      const before = calls.length;
      await assert.rejects(call(), (error) => {
        assert.ok(error instanceof kind, `${error}`);
        assert.equal(error.status, status);
        assert.equal(error.error.error.type, type);
        if (status === 429) assert.equal(error.headers.get('retry-after'), '7');
        return true;
      });
      assert.equal(calls.length, before + 1);
      await proven(calls.at(-1));
    });
  }
});

test('an error inside a stream', async () => {
  const { anthropic, calls } = client();
  const stream = await anthropic.messages.create({ ...ask, stream: true }, { headers: { 'x-stub': 'error-in-stream=4' } });
  await assert.rejects(all(stream), (error) => {
    assert.ok(error instanceof Anthropic.APIError, `${error}`);
    assert.match(error.message, /overloaded_error/);
    return true;
  });
  await calls[0].ended;
  await proven(calls[0]);
});

test('a stream cut in the middle of an event', async () => {
  const { anthropic, calls } = client();
  const stream = await anthropic.messages.create({ ...ask, stream: true }, { headers: { 'x-stub': 'cut,words=40' } });
  await assert.rejects(all(stream));
  const want = await direct(calls[0]);
  assert.ok(want.error, 'the stub itself did not cut');
  await provenPart(calls[0], want.body);
});

test('the client leaves in the middle of a stream', async () => {
  const { anthropic, calls } = client();
  const stream = await anthropic.messages.create({ ...ask, stream: true }, { headers: { 'x-stub': 'delay=2ms,words=300' } });
  let n = 0;
  for await (const event of stream) {
    assert.ok(event.type);
    if (++n === 20) stream.controller.abort();
  }
  assert.ok(n >= 20);
  await calls[0].ended;
  await provenPart(calls[0]);
});
