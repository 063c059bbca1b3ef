import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CommanderError } from 'commander';
import { CliError, CommandFailure, clusterSentence, exitCodeOf, messageOf, sentence } from '../../../src/cli/errors.ts';
import { TargetError } from '../../../src/cluster/target.ts';
import { ClusterError, type ClusterErrorKind } from '../../../src/ports/cluster.ts';
import { StoreError } from '../../../src/ports/store.ts';

const PLACE = { contextName: 'kind', server: 'https://127.0.0.1:6443' };
const WHERE = 'the API server https://127.0.0.1:6443 (context kind)';

const withCode = (code: string): Error => Object.assign(new Error(`it is ${code}`), { code });

const CLUSTER_ERRORS: readonly (readonly [why: string, error: ClusterError, expected: string])[] = [
  [
    'nobody listens',
    new ClusterError('unavailable', 'GET /api: connect ECONNREFUSED', { cause: withCode('ECONNREFUSED') }),
    `${WHERE} does not answer (connect ECONNREFUSED); start the cluster, check the network, or name another context with --context`,
  ],
  [
    'nobody listens on any address of a name',
    new ClusterError('unavailable', 'GET /api: AggregateError', {
      cause: new AggregateError([new Error('connect ECONNREFUSED ::1:6443')]),
    }),
    `${WHERE} does not answer (connect ECONNREFUSED ::1:6443); start the cluster, check the network, or name another context with --context`,
  ],
  [
    'another cluster has taken the address',
    new ClusterError('unavailable', 'GET /api: bad', { cause: withCode('UNABLE_TO_VERIFY_LEAF_SIGNATURE') }),
    `${WHERE} shows a certificate that the kubeconfig does not trust (bad); get the cluster's current kubeconfig, or name another context with --context`,
  ],
  [
    'it answers that it cannot',
    new ClusterError('unavailable', 'GET /api: 503 starting up'),
    `${WHERE} fails (503 starting up); try again, or look after the cluster`,
  ],
  [
    'the credentials are out of date',
    new ClusterError('unauthorized', 'GET /api: 401 Unauthorized'),
    `${WHERE} does not accept the credentials of the kubeconfig (Unauthorized); log in again or get a new kubeconfig`,
  ],
  [
    'the right is missing',
    new ClusterError('forbidden', 'GET /api/v1/pods?limit=1: 403 pods is forbidden'),
    `${WHERE} refuses this (pods is forbidden); ask its administrator for the right, or name another context with --context`,
  ],
];

for (const [why, error, expected] of CLUSTER_ERRORS) {
  test(`a person reads where, what and the remedy when ${why}`, () => {
    assert.equal(clusterSentence(error, PLACE), expected);
  });
}

test('every kind of fault of a cluster has a sentence that says where', () => {
  const kinds: ClusterErrorKind[] = ['conflict', 'gone', 'terminating', 'invalid', 'throttled'];
  for (const kind of kinds) assert.match(clusterSentence(new ClusterError(kind, 'x'), PLACE), /^the API server https/);
});

test('foreseen errors are said as they are, others as the bugs that they are', () => {
  for (const error of [new CliError('do so'), new StoreError('unavailable', 'do so'), new TargetError('do so')]) {
    assert.equal(sentence(error), 'do so');
  }
  assert.match(sentence(new RangeError('odd')), /^unexpected: odd; this is a bug in Bulkhead, and --debug/);
});

test('a failure of a command is said with the place that its command looked in', () => {
  const failure = new CommandFailure(new ClusterError('throttled', 'GET /x: 429 slow'), 1, PLACE);
  assert.equal(sentence(failure), `${WHERE} is overloaded (slow); try again in a moment`);
});

test('an error without words lends those of what caused it', () => {
  assert.equal(messageOf(new AggregateError([new Error('inner')])), 'inner');
  assert.equal(messageOf(new Error('', { cause: new Error('cause') })), 'cause');
  assert.equal(messageOf('text'), 'text');
});

test("the exit code is the command's where it has one of its own", () => {
  assert.equal(exitCodeOf(new CommandFailure(new Error('x'), 2, null)), 2);
  assert.equal(exitCodeOf(new CommanderError(0, 'help', '')), 0);
  assert.equal(exitCodeOf(new Error('x')), 1);
});
