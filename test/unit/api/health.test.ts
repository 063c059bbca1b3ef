import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Readiness, serveHealth, verboseText } from '../../../src/api/health.ts';

const METRICS = { contentType: 'text/plain', text: async () => 'up 1\n' };
const checks = (cluster: string | null) => [
  { name: 'store', reason: null },
  { name: 'cluster', reason: cluster },
];

test('check by check, in the form that people know from kube-apiserver', () => {
  const notes = ['the CRD is not installed, so StreamJobs are not taken'];
  assert.equal(
    verboseText({ checks: checks('the cluster does not answer'), notes }),
    '[+]store ok\n[-]cluster failed: the cluster does not answer\n[i]the CRD is not installed, so StreamJobs are not taken\nreadyz check failed\n',
  );
  assert.equal(verboseText({ checks: checks(null), notes: [] }), '[+]store ok\n[+]cluster ok\nreadyz check passed\n');
});

test('what hinders makes it not ready, what is merely worth saying does not, and neither asks for a restart', async () => {
  let now: Readiness = { checks: checks(null), notes: ['a note'] };
  const server = await serveHealth({ host: '127.0.0.1', port: 0 }, () => now, METRICS);
  try {
    const ask = async (path: string) => {
      const response = await fetch(server.url + path);
      return { status: response.status, text: await response.text() };
    };
    const fine = await ask('/readyz');
    assert.equal(fine.status, 200);
    assert.deepEqual(JSON.parse(fine.text), { ready: true, reasons: [], notes: ['a note'] });
    now = { checks: checks('the cluster does not answer'), notes: [] };
    const hindered = await ask('/readyz');
    assert.equal(hindered.status, 503);
    assert.deepEqual(JSON.parse(hindered.text), {
      ready: false,
      reasons: ['the cluster does not answer'],
      notes: [],
    });
    assert.deepEqual(await ask('/readyz?verbose'), {
      status: 503,
      text: '[+]store ok\n[-]cluster failed: the cluster does not answer\nreadyz check failed\n',
    });
    assert.equal((await ask('/healthz')).status, 200);
    assert.equal((await ask('/metrics')).text, 'up 1\n');
  } finally {
    await server.close();
  }
});
