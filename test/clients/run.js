// Starts a stub, runs the tests against it, starts a steno before it and runs them
// through that; at the end the log must hold.
import { spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const steno = process.argv[2];
const dir = mkdtempSync(join(tmpdir(), 'steno-clients-'));
const running = [];

// start runs a command until it has printed its line of JSON.
function start(...args) {
  const child = spawn(steno, args, { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, STUB_CREDENTIAL: 'any' } });
  running.push(child);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`steno ${args[0]} ended with ${code} before it was ready`)));
    createInterface(child.stdout).once('line', (line) => resolve({ child, ...JSON.parse(line) }));
  });
}

function stop(child) {
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  return ended;
}

function test(what, env) {
  console.log(`# ${what}`);
  const files = ['bytes.test.js', 'openai.test.js', 'anthropic.test.js'];
  const run = spawnSync(process.execPath, ['--test', '--test-reporter=spec', ...files], { stdio: 'inherit', env: { ...process.env, ...env } });
  if (run.status !== 0) throw new Error(`the SDKs ${what}: tests failed`);
}

async function main() {
  const { stub } = await start('stub', '--addr', '127.0.0.1:0', '--json');
  test('straight to the stub', { STUB_URL: stub });

  const key = `sk-steno-${randomBytes(24).toString('hex')}`;
  const sha256 = createHash('sha256').update(key).digest('hex');
  const config = join(dir, 'steno.yaml');
  const upstream = (dialect) => `{dialect: ${dialect}, url: ${stub}, credential: {env: STUB_CREDENTIAL}}`;
  writeFileSync(
    config,
    `gateway:
  upstreams:
    openai: ${upstream('openai')}
    anthropic: ${upstream('anthropic')}
  keys:
    - {id: clients, sha256: ${sha256}, user: sdk, role: tester, tenant: test}
`,
    { mode: 0o600 },
  );
  const data = join(dir, 'data');
  const server = await start('serve', '--data', data, '--config', config, '--gateway', '127.0.0.1:0', '--console', '127.0.0.1:0', '--json');
  test('through steno', {
    STUB_URL: stub,
    STENO_OPENAI_BASE_URL: `${server.gateway}/v1`,
    STENO_ANTHROPIC_BASE_URL: server.gateway,
    STENO_KEY: key,
    STENO_SHOW: `'${steno}' show --server '${server.console}' --token '${server.token}'`,
  });
  const code = await stop(server.child);
  if (code !== 0) throw new Error(`steno serve ended with ${code}`);
  const verify = spawnSync(steno, ['verify', data], { stdio: 'inherit' });
  if (verify.status !== 0) throw new Error(`steno verify ended with ${verify.status}`);
}

let failed = 0;
try {
  await main();
} catch (error) {
  console.error(error.message);
  failed = 1;
}
await Promise.all(running.filter((c) => c.exitCode === null && c.signalCode === null).map(stop));
rmSync(dir, { recursive: true, force: true });
process.exit(failed);
