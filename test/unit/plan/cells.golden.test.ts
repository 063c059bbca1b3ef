import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { stringify } from 'yaml';
import type { JobSpec } from '../../../src/job/spec.ts';
import { renderGoal } from '../../support/cells.ts';
import { goalOf, MINIMAL } from '../../support/goals.ts';

/** The objects of a cell, to the byte. Re-made by UPDATE_GOLDEN=1 npm test; read the difference before you commit it. */
const FULL: JobSpec = {
  container: {
    image: 'registry.example/team/app:2.1',
    command: ['/app', '--literal=$(NOT_EXPANDED)'],
    args: ['a b', '$HOME'],
    env: [
      { name: 'PLAIN', value: 'x' },
      { name: 'PASSWORD', secretKeyRef: { name: 'db', key: 'password' } },
    ],
    ports: [{ name: 'metrics', port: 8080 }],
    probes: {
      readiness: { httpGet: { path: '/ready', port: 'metrics' }, periodSeconds: 2 },
      liveness: { tcpSocket: { port: 8080 }, initialDelaySeconds: 5 },
      startup: { exec: { command: ['/app', 'check'] }, failureThreshold: 30 },
    },
    runAsUser: 1000,
  },
  workers: {
    replicas: 3,
    resources: { requests: { cpu: 0.5, memory: '1024Mi' }, limits: { cpu: 2, memory: '1.5Gi' } },
  },
  network: {
    egress: [{ cidr: '10.1.0.0/16', ports: [{ port: 9092 }] }, { job: 'orders' }],
    ingress: [{ job: 'dashboard', ports: [{ port: 8080, protocol: 'TCP' }] }],
  },
};

const CELLS: Readonly<Record<string, JobSpec>> = {
  minimal: MINIMAL,
  full: FULL,
  suspended: { container: { image: 'app' }, workers: { replicas: 4 }, suspended: true },
  'shared-minimal': { ...MINIMAL, isolation: { tier: 'shared' } },
  'shared-full': { ...FULL, isolation: { tier: 'shared' } },
};

for (const [name, spec] of Object.entries(CELLS)) {
  test(`the cell of a ${name} job is rendered as it was reviewed`, () => {
    const file = new URL(`../../golden/cells/${name}.yaml`, import.meta.url);
    const text = renderGoal(goalOf(spec, { revision: 7 }))
      .map((object) => stringify(object, { aliasDuplicateObjects: false }))
      .join('---\n');
    if (process.env.UPDATE_GOLDEN) writeFileSync(file, text);
    assert.equal(text, readFileSync(file, 'utf8'));
  });
}
