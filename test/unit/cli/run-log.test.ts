import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

const RUN_LOG = join(import.meta.dirname, '../../../src/cli/run-log.ts');
const LIMIT_MS = 20_000;

/** A process that logs as the operator does, and whose stderr is a pipe to here. */
function logging(script: string) {
  const program = `
    import { operatorLog } from ${JSON.stringify(RUN_LOG)};
    const log = operatorLog({ level: 'info', format: 'json' });
    ${script}`;
  return spawn(process.execPath, ['--input-type=module', '--eval', program], { stdio: ['pipe', 'pipe', 'pipe'] });
}

async function linesOf(child: ReturnType<typeof logging>): Promise<string[]> {
  let text = '';
  child.stderr.on('data', (chunk) => {
    text += chunk;
  });
  await once(child, 'close');
  return text.split('\n').filter((line) => line !== '');
}

const messages = (lines: readonly string[]) => lines.map((line) => (JSON.parse(line) as { msg: string }).msg);

test('every line is there, also when the process exits on its own behind the last', async () => {
  const child = logging(`
    for (let i = 0; i < 2000; i += 1) log.info('line ' + i);
    process.exit(0);`);
  const said = messages(await linesOf(child));
  assert.equal(said.length, 2_000);
  assert.deepEqual(
    said.toSorted((a, b) => Number(a.slice(5)) - Number(b.slice(5))),
    Array.from({ length: 2_000 }, (_, i) => `line ${i}`),
  );
});

test('the end of a burst goes out by itself, with no line behind it', { timeout: LIMIT_MS }, async () => {
  const child = logging(`
    for (let i = 0; i < 500; i += 1) log.info('x'.repeat(200));
    log.error('the last');
    process.stdin.resume();`);
  let text = '';
  for await (const chunk of child.stderr) {
    text += chunk;
    if (text.includes('the last')) break;
  }
  child.kill('SIGKILL');
});

test('an end waits for no reader that has gone away', { timeout: LIMIT_MS }, async () => {
  const child = logging(`
    process.stdout.write('ready');
    process.stdin.once('data', () => {
      log.info('nobody reads this');
      log.flush();
      log.info('nor this');
      process.exit(3);
    });`);
  await once(child.stdout, 'data');
  child.stderr.destroy();
  await sleep(50);
  child.stdin.write('go');
  const [code] = await once(child, 'exit');
  assert.equal(code, 3);
});
