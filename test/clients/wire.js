// What both test files share: where to send calls, a fetch that keeps the raw
// bytes of what the SDKs send and get, and the comparison of these bytes with
// what the stub says directly and with what steno has recorded.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';

function address(name) {
  const url = process.env[name];
  return url ? url.replace(/\/+$/, '') : undefined;
}

export const stub = address('STUB_URL');
if (!stub) throw new Error('STUB_URL must be the address of a model stub (steno stub)');

// Without steno the SDKs talk to the stub, and only the comparison with the record is left out.
export const openaiBase = address('STENO_OPENAI_BASE_URL') ?? `${stub}/v1`;
export const anthropicBase = address('STENO_ANTHROPIC_BASE_URL') ?? stub;
export const key = process.env.STENO_KEY || 'any-key';
export const show = process.env.STENO_SHOW;
export const throughSteno = !openaiBase.startsWith(stub);

// What belongs to one connection or to steno, not to the answer.
const ownHeaders = new Set(['connection', 'keep-alive', 'transfer-encoding', 'x-steno-exchange']);

// recorder returns a fetch for an SDK, and the calls it made.
export function recorder() {
  const calls = [];
  async function recordingFetch(url, init) {
    const request = new Request(url, init);
    const call = {
      url: new URL(request.url),
      method: request.method,
      headers: new Headers(request.headers),
      sent: Buffer.from(await request.clone().arrayBuffer()),
      got: Buffer.alloc(0),
    };
    calls.push(call);
    const response = await fetch(request);
    call.status = response.status;
    call.answered = new Headers(response.headers);
    if (!response.body) {
      call.ended = Promise.resolve();
      return response;
    }
    const parts = [];
    let end;
    call.ended = new Promise((resolve) => (end = resolve));
    const reader = response.body.getReader();
    const body = new ReadableStream({
      async pull(controller) {
        try {
          const { done, value } = await reader.read();
          if (done) {
            end();
            controller.close();
            return;
          }
          parts.push(value);
          call.got = Buffer.concat(parts);
          controller.enqueue(value);
        } catch (error) {
          end(error);
          controller.error(error);
        }
      },
      cancel(reason) {
        end(reason);
        return reader.cancel(reason);
      },
    });
    return new Response(body, { status: response.status, statusText: response.statusText, headers: response.headers });
  }
  return { fetch: recordingFetch, calls };
}

// direct sends the same request to the stub itself.
export async function direct(call) {
  const headers = new Headers(call.headers);
  for (const name of [...headers.keys()]) {
    if (name.startsWith('x-steno-')) headers.delete(name);
  }
  const response = await fetch(stub + call.url.pathname + call.url.search, {
    method: call.method,
    headers,
    body: call.sent.length ? call.sent : undefined,
  });
  const parts = [];
  let error;
  try {
    for await (const part of response.body) parts.push(part);
  } catch (e) {
    error = e;
  }
  return { status: response.status, headers: response.headers, body: Buffer.concat(parts), error };
}

export function same(got, want, what) {
  assert.ok(Buffer.isBuffer(got) && Buffer.isBuffer(want), `${what}: no bytes to compare`);
  if (got.equals(want)) return;
  let i = 0;
  while (i < got.length && i < want.length && got[i] === want[i]) i++;
  const near = (b) => JSON.stringify(b.subarray(Math.max(0, i - 40), i + 40).toString('latin1'));
  assert.fail(`${what}: ${got.length} bytes, not ${want.length}; they differ from byte ${i} on: ${near(got)}, not ${near(want)}`);
}

// recorded returns the bytes that steno has of an exchange.
export function recorded(call, which) {
  const id = call.answered.get('x-steno-exchange');
  assert.ok(id, `no x-steno-exchange in the answer to ${call.method} ${call.url.pathname}`);
  const run = spawnSync('sh', ['-c', `${show} "$1" --raw "$2"`, 'sh', id, which], { maxBuffer: 1 << 28 });
  assert.equal(run.status, 0, `show ${id} --raw ${which}: ${run.stderr}`);
  return run.stdout;
}

// proven checks one call whole: status, headers and bytes are the stub's own, and steno kept them.
export async function proven(call) {
  const what = `${call.method} ${call.url.pathname}`;
  const want = await direct(call);
  assert.equal(call.status, want.status, `${what}: status`);
  same(call.got, want.body, `${what}: the answer`);
  for (const [name, value] of want.headers) {
    if (!ownHeaders.has(name)) assert.equal(call.answered.get(name), value, `${what}: header ${name}`);
  }
  if (throughSteno) {
    assert.ok(call.answered.get('x-steno-exchange'), `${what}: no x-steno-exchange`);
  }
  if (throughSteno && show) {
    same(recorded(call, 'request'), call.sent, `${what}: the recorded request`);
    same(recorded(call, 'response'), want.body, `${what}: the recorded answer`);
  }
}

// provenPart checks a call that ended early: what came is the beginning of what the
// stub would have said, and the record has at least that. It is closed a little later.
export async function provenPart(call, until) {
  const what = `${call.method} ${call.url.pathname}`;
  const whole = until ?? (await direct(call)).body;
  assert.ok(call.got.length > 0, `${what}: nothing came`);
  same(call.got, whole.subarray(0, call.got.length), `${what}: the part that came`);
  if (!throughSteno || !show) return;
  same(recorded(call, 'request'), call.sent, `${what}: the recorded request`);
  const deadline = Date.now() + 20_000;
  for (;;) {
    let kept;
    try {
      kept = recorded(call, 'response');
    } catch (error) {
      if (Date.now() > deadline) throw error;
      continue;
    }
    if (kept.length >= call.got.length) {
      same(kept, whole.subarray(0, kept.length), `${what}: the recorded part`);
      return;
    }
    if (Date.now() > deadline) {
      assert.fail(`${what}: ${call.got.length} bytes came, ${kept.length} are recorded`);
    }
  }
}

// all collects the items of a stream.
export async function all(stream) {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
}
