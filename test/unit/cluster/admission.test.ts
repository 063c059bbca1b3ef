import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AdmissionInput, admit } from '../../../src/cluster/identity.ts';
import { clusterId } from '../../../src/job/ids.ts';

const OLD = clusterId('00000000-0000-4000-8000-000000000001');
const NEW = clusterId('00000000-0000-4000-8000-000000000002');
const UNTIL = new Date('2026-11-23T12:00:30.500Z');
const cluster = (id = OLD, contextName = 'prod') => ({ id, contextName, server: 'https://one', caCertificate: 'ca' });

const input = (parts: Partial<AdmissionInput>): AdmissionInput => ({
  known: cluster(),
  found: cluster(NEW),
  oldCluster: async () => 'silent',
  otherStores: async () => false,
  accepted: null,
  ...parts,
});

const CASES: readonly (readonly [situation: string, parts: Partial<AdmissionInput>, kind: string])[] = [
  ['the first cluster of a store is taken', { known: null }, 'adopt'],
  ['the same cluster is taken, whatever its address', { found: { ...cluster(), server: 'https://two' } }, 'same'],
  ['the same cluster is taken under another context name', { found: cluster(OLD, 'renamed') }, 'same'],
  ['a lost and replaced cluster is taken: same context, the old one silent, nobody else there', {}, 'adopt'],
  ['another context is another cluster: a person decides', { found: cluster(NEW, 'staging') }, 'refuse'],
  ['while the old cluster answers, a person decides', { oldCluster: async () => 'answers' }, 'refuse'],
  ['where nobody can know of the old cluster, a person decides', { oldCluster: async () => 'unknown' }, 'refuse'],
  [
    'in a pod, a silence that has to last yet is waited for',
    { oldCluster: async () => ({ silentUntil: UNTIL }) },
    'wait',
  ],
  ['while replicas work in the old cluster, a person decides', { oldCluster: async () => 'connected' }, 'refuse'],
  ['where another store lives, a person decides', { otherStores: async () => true }, 'refuse'],
  ['a person has decided', { found: cluster(NEW, 'staging'), accepted: NEW }, 'adopt'],
  ['a decision for another cluster does not count', { found: cluster(NEW, 'staging'), accepted: OLD }, 'refuse'],
];

for (const [situation, parts, kind] of CASES) {
  test(situation, async () => assert.equal((await admit(input(parts))).kind, kind));
}

test('waiting says for how long', async () => {
  const waiting = await admit(input({ oldCluster: async () => ({ silentUntil: UNTIL }) }));
  assert.match(
    waiting.kind === 'wait' ? waiting.why : '',
    /unless a replica connects to the former one until 12:00:30 UTC/,
  );
});

test('a refusal says what to do', async () => {
  const refused = await admit(input({ oldCluster: async () => 'answers' }));
  assert.match(refused.kind === 'refuse' ? refused.why : '', /--accept-cluster 00000000-0000-4000-8000-000000000002/);
});
