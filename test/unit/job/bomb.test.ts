import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const PROBE = fileURLToPath(new URL('./bomb-probe.ts', import.meta.url));
const MAX_MS = 100;
const MAX_MB = 50;

interface Measured {
  readonly name: string;
  readonly ms: number;
  readonly mb: number;
  readonly jobs: number;
  readonly said: string;
}

/** In a process of its own, so that its memory is its own. */
const measured = JSON.parse(execFileSync(process.execPath, ['--expose-gc', PROBE], { encoding: 'utf8' })) as Measured[];

for (const { name, ms, mb, jobs, said } of measured) {
  test(`a bomb of ${name} is refused within ${MAX_MS} ms of processor time and ${MAX_MB} MB`, (t) => {
    t.diagnostic(`${ms.toFixed(0)} ms, ${mb.toFixed(0)} MB: ${said}`);
    assert.equal(jobs, 0);
    assert.match(said, /more than|inside what it stands for/);
    assert.ok(ms <= MAX_MS, `${ms} ms`);
    assert.ok(mb <= MAX_MB, `${mb} MB`);
  });
}
