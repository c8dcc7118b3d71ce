// What no SDK shows: compressed bytes as they were, trailers, and that the comparison can fail.
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { key, openaiBase, recorded, same, show, stub, throughSteno } from './wire.js';

// send posts by plain HTTP, which undoes no compression.
function send(base, body, headers) {
  return new Promise((resolve, reject) => {
    const to = request(
      `${base}/chat/completions`,
      { method: 'POST', headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers } },
      (answer) => {
        const parts = [];
        answer.on('data', (part) => parts.push(part));
        answer.on('error', reject);
        answer.on('end', () => {
          const { statusCode: status, headers, trailers } = answer;
          resolve({ status, headers, trailers, body: Buffer.concat(parts) });
        });
      },
    );
    to.on('error', reject);
    to.end(body);
  });
}

const plain = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'Compress this – naïvely.' }] };

for (const [name, body, headers] of [
  ['a compressed answer', plain, { 'x-stub': 'gzip', 'accept-encoding': 'gzip' }],
  ['a compressed stream', { ...plain, stream: true }, { 'x-stub': 'gzip,delay=1ms', 'accept-encoding': 'gzip' }],
  ['a compressed answer with trailers', plain, { 'x-stub': 'gzip,trailers', 'accept-encoding': 'gzip' }],
  ['an answer with trailers', plain, { 'x-stub': 'trailers', te: 'trailers' }],
  ['a stream with trailers', { ...plain, stream: true }, { 'x-stub': 'trailers', te: 'trailers' }],
  ['an answer to one who takes no compression', plain, { 'x-stub': 'gzip', 'accept-encoding': 'identity' }],
]) {
  test(name, async () => {
    const sent = Buffer.from(JSON.stringify(body));
    const want = await send(`${stub}/v1`, sent, headers);
    const got = await send(openaiBase, sent, headers);
    assert.equal(got.status, 200);
    assert.equal(got.headers['content-encoding'], want.headers['content-encoding']);
    assert.deepEqual({ ...got.trailers }, { ...want.trailers });
    same(got.body, want.body, name);
    if (want.headers['content-encoding'] === 'gzip') assert.match(gunzipSync(got.body).toString(), /chat\.completion/);
    if (throughSteno && show) {
      const call = { answered: new Headers({ 'x-steno-exchange': got.headers['x-steno-exchange'] }), url: new URL(openaiBase), method: 'POST' };
      same(recorded(call, 'request'), sent, `${name}: the recorded request`);
      same(recorded(call, 'response'), want.body, `${name}: the recorded answer`);
    }
  });
}

test('the comparison can fail', () => {
  const a = Buffer.from('word for word');
  same(a, Buffer.from(a), 'equal');
  for (const b of ['word for Word', 'word for wor', 'word for word.', '']) {
    assert.throws(() => same(a, Buffer.from(b), 'unequal'), /unequal: 13 bytes/);
  }
  assert.throws(() => same(undefined, undefined, 'nothing'), /no bytes/);
});
