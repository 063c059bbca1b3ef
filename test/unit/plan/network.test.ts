import assert from 'node:assert/strict';
import { test } from 'node:test';
import { effectiveSpec } from '../../../src/job/defaults.ts';
import { rangeContains, startsRange } from '../../../src/job/ipv4.ts';
import { jobSpecSchema } from '../../../src/job/spec.ts';
import { networkPolicySpec } from '../../../src/plan/render/network.ts';
import { STORE } from '../../support/goals.ts';

const specWith = (cidr: string) => ({ container: { image: 'app' }, network: { egress: [{ cidr }] } });
const egressTo = (cidr: string) => {
  const { egress } = networkPolicySpec(effectiveSpec(specWith(cidr)), 'ads', STORE) as { egress: { to: unknown[] }[] };
  return egress[1]?.to[0];
};

for (const cidr of ['169.254.169.254/32', '169.254.0.0/16', '127.0.0.1/32', '127.0.0.0/8']) {
  test(`${cidr} is a node's own business: no spec can open the way to its credentials`, () => {
    assert.equal(jobSpecSchema.safeParse(specWith(cidr)).success, false);
  });
}

test('a range that contains link-local leaves it out', () => {
  assert.deepEqual(egressTo('0.0.0.0/0'), { ipBlock: { cidr: '0.0.0.0/0', except: ['169.254.0.0/16'] } });
  assert.deepEqual(egressTo('10.1.0.0/16'), { ipBlock: { cidr: '10.1.0.0/16' } });
});

test('ranges are compared by their addresses', () => {
  assert.deepEqual(
    [rangeContains('10.0.0.0/8', '10.1.0.0/16'), rangeContains('10.1.0.0/16', '10.0.0.0/8')],
    [true, false],
  );
  assert.deepEqual(
    [startsRange('10.1.0.0/16'), startsRange('10.1.2.3/16'), startsRange('10.1.2.3/32')],
    [true, false, true],
  );
});
