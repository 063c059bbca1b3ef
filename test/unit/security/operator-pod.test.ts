import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { workloadFindings } from '../../../security/operator-pod.ts';

const RESOURCES = { cpu: '1', memory: '1Gi', 'ephemeral-storage': '1Gi' };
const CONTAINER = {
  name: 'operator',
  securityContext: { readOnlyRootFilesystem: true },
  resources: { requests: RESOURCES, limits: RESOURCES },
};
const POD = { securityContext: { runAsUser: 65532 }, containers: [CONTAINER] };
const LABELS = { app: 'x' };

const objects = (pod: object, replicas = 2, selected: Record<string, string> = LABELS) => [
  {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'x', namespace: 'n' },
    spec: { replicas, template: { metadata: { labels: LABELS }, spec: { ...POD, ...pod } } },
  },
  {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name: 'x', namespace: 'n' },
    spec: { selector: { matchLabels: selected } },
  },
];

test('a careful pod has no findings', () => assert.deepEqual(workloadFindings(objects({})), []));

describe('a careless one is found', () => {
  const withContainer = (parts: object) => ({ containers: [{ ...CONTAINER, ...parts }] });
  const { memory: _, ...withoutMemory } = RESOURCES;
  const cases: readonly [what: string, pod: object, finding: RegExp][] = [
    ['a root file system that can be written', withContainer({ securityContext: {} }), /can be written/],
    ['no limit', withContainer({ resources: { requests: RESOURCES, limits: withoutMemory } }), /limit of memory/],
    ['no request', withContainer({ resources: { limits: RESOURCES } }), /request and limit of cpu/],
    ['a container before the others', { initContainers: [{ name: 'migrate' }] }, /migrate: the root file system/],
    ['root', { securityContext: { runAsUser: 0 } }, /no user other than root/],
  ];
  for (const [what, pod, finding] of cases) {
    test(what, () => assert.match(workloadFindings(objects(pod)).join(), finding));
  }
  test('several pods that a drain may take at once', () => {
    assert.match(workloadFindings(objects({}, 2, { app: 'y' })).join(), /no PodDisruptionBudget/);
    assert.deepEqual(workloadFindings(objects({}, 1, { app: 'y' })), []);
  });
});
