import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jobSpecSchema, streamJobSchema } from '../../../src/job/spec.ts';

const container = (fields: object) => ({ container: { image: 'app', ...fields } });
const port = (fields: object) => container({ ports: [{ name: 'a', port: 1, ...fields }] });
const secret = (fields: object) =>
  container({ env: [{ name: 'A', secretKeyRef: { name: 's', key: 'k', ...fields } }] });
const egress = (fields: object) => ({ ...container({}), network: { egress: [fields] } });

const takes: readonly [reason: string, spec: object][] = [
  [
    'an image with registry, port, path, tag and digest',
    container({ image: `r.example:5000/a_b/c--d:1@sha256:${'0'.repeat(64)}` }),
  ],
  ['an image of one word with hyphens', container({ image: 'my--app' })],
  ['an empty value of an environment variable', container({ env: [{ name: 'A', value: '' }] })],
  [
    'one port number for two protocols',
    container({
      ports: [
        { name: 'a', port: 53 },
        { name: 'b', port: 53, protocol: 'UDP' },
      ],
    }),
  ],
  [
    'a probe by the name of a port',
    {
      container: { image: 'app', ports: [{ name: 'a', port: 1 }], probes: { liveness: { tcpSocket: { port: 'a' } } } },
    },
  ],
  ['a Secret with dots in its name', secret({ name: 'db.prod' })],
  ['a key that begins with one dot', secret({ key: '.dockerconfigjson' })],
  ['the whole of IPv4', egress({ cidr: '0.0.0.0/0' })],
  ['one address', egress({ cidr: '255.255.255.255/32' })],
  ['no workers at all', { ...container({}), workers: { replicas: 0 } }],
  ['numbers as quantities', { ...container({}), workers: { resources: { requests: { cpu: 0.5, memory: 1024 } } } }],
];

const refuses: readonly [reason: string, spec: object][] = [
  ['an image that a shell would take apart', container({ image: 'app; rm -rf /' })],
  ['an image with a line end', container({ image: 'app\n' })],
  ['root', container({ runAsUser: 0 })],
  ['NUL in an argument, which no process can be given', container({ args: ['a\0b'] })],
  ['two hyphens in a row in a port name, as Kubernetes does', port({ name: 'a--b' })],
  ['a port name of digits only', port({ name: '80' })],
  ['a port name of 16 letters', port({ name: 'a'.repeat(16) })],
  [
    'one port number twice under two names: a Service cannot have it',
    container({
      ports: [
        { name: 'a', port: 1 },
        { name: 'b', port: 1, protocol: 'TCP' },
      ],
    }),
  ],
  ['a host port', port({ hostPort: 80 })],
  [
    'an environment variable twice',
    container({
      env: [
        { name: 'A', value: '1' },
        { name: 'A', value: '2' },
      ],
    }),
  ],
  ['an environment variable from nothing', container({ env: [{ name: 'A' }] })],
  ['an environment variable from the pod', container({ env: [{ name: 'A', valueFrom: {} }] })],
  ['two dots in a row in the name of a Secret', secret({ name: 'a..b' })],
  ['a hyphen at a dot in the name of a Secret', secret({ name: 'a-.b' })],
  ['a Secret of another namespace', secret({ namespace: 'kube-system' })],
  ['the keys . and .., which are folders', secret({ key: '..' })],
  ['a key that begins with ..', secret({ key: '..data' })],
  ['a range with a dot too many', egress({ cidr: '10.1.0.0./16' })],
  ['a range with zeros in front, which readers disagree on', egress({ cidr: '010.0.0.0/8' })],
  ['a range of 33 bits', egress({ cidr: '10.0.0.0/33' })],
  ['a range by name', egress({ cidr: 'example.com' })],
  ['a peer that is nothing', egress({})],
  ['a peer by labels', egress({ podSelector: {} })],
  ['tiers that are not there yet', { ...container({}), isolation: { tier: 'node' } }],
  ['engines that are not there yet', { flink: {} }],
  ['half a worker', { ...container({}), workers: { replicas: 1.5 } }],
  ...[
    'serviceAccountName',
    'hostNetwork',
    'hostPID',
    'nodeName',
    'nodeSelector',
    'priorityClassName',
    'runtimeClassName',
    'volumes',
  ].map((field): [string, object] => [`${field}, which a tenant has no say in`, { ...container({}), [field]: 'x' }]),
  ...[
    'securityContext',
    'privileged',
    'volumeMounts',
    'lifecycle',
    'envFrom',
    'resources',
    'imagePullPolicy',
    'stdin',
  ].map((field): [string, object] => [
    `${field} of a container, which a tenant has no say in`,
    container({ [field]: 'x' }),
  ]),
];

for (const [reason, spec] of takes) {
  test(`a job may have ${reason}`, () => {
    assert.deepEqual(jobSpecSchema.parse(spec), spec, 'and it is stored as it was written, with no default in it');
  });
}

for (const [reason, spec] of refuses) {
  test(`a job may not have ${reason}`, () => {
    assert.equal(jobSpecSchema.safeParse(spec).success, false);
  });
}

test('a tenant cannot set labels, annotations or owners', () => {
  const job = { apiVersion: 'bulkhead.dev/v1alpha1', kind: 'StreamJob', spec: container({}) };
  assert.ok(streamJobSchema.safeParse({ ...job, metadata: { name: 'a', namespace: 'b' } }).success);
  for (const field of ['labels', 'annotations', 'ownerReferences', 'finalizers', 'uid']) {
    assert.equal(
      streamJobSchema.safeParse({ ...job, metadata: { name: 'a', namespace: 'b', [field]: {} } }).success,
      false,
    );
  }
});
