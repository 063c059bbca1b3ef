import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { execa } from 'execa';

/** Every benchmark of speed, as small as it gets: that it runs to its last line is what is shown, not how fast. */

const MAIN = join(import.meta.dirname, '../../bench/main.ts');
const LIMIT_MS = 180_000;
/** Against the replay at most, which is a small Go program; the other yardsticks take long to build, and a full run does. */
const BENCHES: readonly (readonly string[])[] = [
  ['rebuild'],
  ['memory'],
  ['change'],
  ['idle'],
  ['heal'],
  ['poison'],
  ['takeover'],
  ['scale-out'],
  ['soak'],
];

for (const [name = '', ...options] of BENCHES) {
  test(`bench ${name} --quick says in its last line what it measured`, { timeout: LIMIT_MS }, async () => {
    const { stdout, stderr, exitCode } = await execa(process.execPath, [MAIN, name, '--quick', ...options], {
      reject: false,
      timeout: LIMIT_MS,
    });
    assert.equal(exitCode, 0, `${stdout.slice(-2_000)}\n${stderr.slice(-2_000)}`);
    const last = JSON.parse(stdout.split('\n').at(-1) ?? '') as Record<string, unknown>;
    for (const field of ['bench', 'jobs', 'value', 'unit', 'target', 'met', 'machine', 'versions', 'noise']) {
      assert.ok(field in last, `the last line has no ${field}: ${JSON.stringify(last).slice(0, 500)}`);
    }
    assert.ok(Number.isFinite(last.value), 'a figure was measured');
  });
}
