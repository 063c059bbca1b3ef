import assert from 'node:assert/strict';
import { test } from 'node:test';
import { flameGraph } from '../../../bench/flame.ts';
import { goStacks, nodeStacks } from '../../../bench/profile/stacks.ts';

const frame = (functionName: string, url = '') => ({ functionName, url });
const PROFILE = {
  nodes: [
    { id: 1, callFrame: frame('(root)'), children: [2, 4, 5] },
    { id: 2, callFrame: frame('turn', 'file:///x/y/src/reconcile/controller.ts'), children: [3] },
    { id: 3, callFrame: frame('request', 'file:///x/y/node_modules/undici/lib/client.js') },
    { id: 4, callFrame: frame('(idle)') },
    { id: 5, callFrame: frame('(garbage collector)') },
  ],
  samples: [2, 3, 4, 3, 5],
  timeDeltas: [1_000, 2_000, 50_000, 3_000, 4_000],
};

test('a profile of Node becomes stacks from the root, each with its time; what was idle or before the start is left out', () => {
  const turn = 'turn src/reconcile/controller.ts';
  const all = [
    { frames: [turn], value: 1 },
    { frames: [turn, 'request undici/lib/client.js'], value: 5 },
    { frames: ['(garbage collector)'], value: 4 },
  ];
  assert.deepEqual(nodeStacks(JSON.stringify(PROFILE)), all);
  assert.deepEqual(
    nodeStacks(JSON.stringify(PROFILE), 2).map(({ value }) => value),
    [5, 4],
  );
});

test('what pprof prints becomes the same, with packages by their last names', () => {
  const printed = `File: localkube
Type: cpu
-----------+-------------------------------------------------------
      10ms   runtime.futex
             k8s.io/apiserver/pkg/admission/plugin/cel.newActivation (inline)
             net/http.(*conn).serve
-----------+-------------------------------------------------------
     1.50s   runtime.gcBgMarkWorker
-----------+-------------------------------------------------------
`;
  assert.deepEqual(goStacks(printed), [
    { frames: ['http.(*conn).serve', 'cel.newActivation', 'runtime.futex'], value: 10 },
    { frames: ['runtime.gcBgMarkWorker'], value: 1_500 },
  ]);
});

test('a flame graph is as wide as the time of each frame, and no name breaks out of it', () => {
  const svg = flameGraph('A & B', 'ms', [
    { frames: ['root<script>', 'left'], value: 75 },
    { frames: ['root<script>', 'right'], value: 25 },
  ]);
  assert.ok(svg.includes('left: 75 ms, 75.0 %') && svg.includes('width="899.7"'));
  assert.ok(svg.includes('A &amp; B') && !svg.includes('<script>'));
});
