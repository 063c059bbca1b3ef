import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { readTarget } from '../../../src/cluster/target.ts';

test('a kubeconfig that is no YAML is refused with the place of the mistake, and not with the tokens around it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'bulkhead-kubeconfig-'));
  try {
    const kubeconfig = join(folder, 'config');
    await writeFile(kubeconfig, 'users:\n- {name: x, user: {token: very-secret\n  broken: [\n');
    await assert.rejects(readTarget({ kubeconfig, context: null }), (error) => {
      assert.match(String(error), /it is no YAML \(.+ in line \d+, column \d+\)/);
      assert.doesNotMatch(inspect(error, { depth: null }), /very-secret/);
      return true;
    });
  } finally {
    await rm(folder, { recursive: true });
  }
});
