import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bombFindings } from '../../../security/bombs.ts';

const REFUSED = { name: 'a bomb', ms: 5, mb: 5, jobs: 0, said: 'too deep' };

test('a bomb that is taken, slow or large is found', () => {
  assert.deepEqual(bombFindings(REFUSED), []);
  assert.match(bombFindings({ ...REFUSED, jobs: 1 }).join(), /is taken/);
  assert.match(bombFindings({ ...REFUSED, said: '' }).join(), /is taken/);
  assert.match(bombFindings({ ...REFUSED, ms: 101 }).join(), /101 ms/);
  assert.match(bombFindings({ ...REFUSED, mb: 51 }).join(), /51 MB/);
});
