import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FormerClusterWatch } from '../../../src/cluster/former-cluster.ts';
import { clusterId } from '../../../src/job/ids.ts';

/** Whether a cluster is lost, told from inside a pod by the replicas that are connected to it. */

const OLD = clusterId('00000000-0000-4000-8000-000000000001');
const NEW = clusterId('00000000-0000-4000-8000-000000000002');
const NEWER = clusterId('00000000-0000-4000-8000-000000000003');

/** A watch under a clock and replicas that the test sets. */
function watched() {
  let now = 0;
  const state = { connected: 0, found: NEW };
  const watch = new FormerClusterWatch({
    nowMs: () => now,
    replicasOf: async (cluster) => (cluster === OLD ? state.connected : 0),
  });
  const look = async () => (await watch.look(OLD, state.found)).kind;
  /** Looks every second. @returns what was seen last */
  const after = async (seconds: number) => {
    let seen = 'never';
    for (let second = 0; second < seconds; second += 1) {
      now += 1_000;
      seen = await look();
    }
    return seen;
  };
  /** Nothing can be seen for a while. */
  const blind = (seconds: number) => {
    now += seconds * 1_000;
  };
  return { state, look, after, blind, until: async () => watch.look(OLD, NEW) };
}

test('a former cluster without replicas for 30 s in a row is lost', async () => {
  const { look, after } = watched();
  assert.equal(await look(), 'waiting');
  assert.equal(await after(29), 'waiting');
  assert.equal(await after(1), 'silent');
  assert.equal(await after(60), 'silent');
});

test('one replica that works there, and both clusters live: remembered, though it falls silent later', async () => {
  const { state, look, after } = watched();
  await look();
  assert.equal(await after(20), 'waiting');
  state.connected = 1;
  assert.equal(await after(1), 'connected');
  state.connected = 0;
  assert.equal(await after(120), 'connected');
});

test('a replica that died with its cluster has a lease for some seconds yet: that only begins the 30 s anew', async () => {
  const { state, look, after } = watched();
  state.connected = 2;
  assert.equal(await look(), 'waiting');
  assert.equal(await after(5), 'waiting');
  state.connected = 0;
  assert.equal(await after(29), 'waiting');
  assert.equal(await after(1), 'silent');
});

test('one that is seen all the time from the beginning works there', async () => {
  const { state, look, after } = watched();
  state.connected = 1;
  await look();
  assert.equal(await after(15), 'waiting');
  assert.equal(await after(1), 'connected');
});

test('who could not look has not seen that nobody was there', async () => {
  const { look, after, blind } = watched();
  await look();
  await after(20);
  blind(25);
  assert.equal(await look(), 'waiting');
  assert.equal(await after(29), 'waiting');
  assert.equal(await after(1), 'silent');
});

test('another new cluster is watched for anew', async () => {
  const { state, look, after } = watched();
  await look();
  await after(20);
  state.found = NEWER;
  assert.equal(await after(30), 'waiting');
  assert.equal(await after(1), 'silent');
});

test('what was seen to live lives, whichever new cluster is asked about', async () => {
  const { state, look, after } = watched();
  await look();
  await after(20);
  state.connected = 1;
  await after(1);
  state.connected = 0;
  state.found = NEWER;
  assert.equal(await after(60), 'connected');
});

test('how long it waits is said once and does not move', async () => {
  const { until, after } = watched();
  const first = await until();
  await after(7);
  assert.deepEqual(await until(), first);
});

test('a store that does not answer is no silence', async () => {
  const watch = new FormerClusterWatch({ replicasOf: () => Promise.reject(new Error('no answer')) });
  await assert.rejects(watch.look(OLD, NEW), /no answer/);
});
