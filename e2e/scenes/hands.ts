import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { attempt, type Finding } from '../../demo/report.ts';
import { CELL_KIND_NAMES, LABELS } from '../../src/plan/objects.ts';
import { BREAK_GLASS_FLAGS } from '../../test/support/break-glass.ts';
import { bulkheadOn } from '../../test/support/end-to-end.ts';
import { until } from '../../test/support/until.ts';
import { type Stage, SYSTEM } from '../stage.ts';

/** A small job among others in its tenant's namespace. */
const SMALL = `
apiVersion: bulkhead.dev/v1alpha1
kind: StreamJob
metadata: {name: small, namespace: shop}
spec:
  container:
    image: bulkhead.local/worker:dev
    env: [{name: SEED, value: "4"}]
    ports: [{name: metrics, port: 8080}]
  workers: {resources: {requests: {cpu: 10m, memory: 32Mi}}}
  isolation: {tier: shared}
`;

const JOB = 'orders-by-region';
const KINDS = { resourcequota: 'ResourceQuota', limitrange: 'LimitRange' } as const;
const SPECS = { resourcequota: { hard: {} }, limitrange: { limits: [] } } as const;

/** Other ways in than kubectl, and hands that have no business in a cell. */
export async function handScenes(stage: Stage): Promise<Finding[]> {
  const { kubectl, databaseUrl } = stage;
  if (databaseUrl === null) return [];
  const bulkhead = bulkheadOn(databaseUrl, stage.cluster);
  const breakGlass = (...args: string[]) => kubectl(...args, ...BREAK_GLASS_FLAGS, '--as-group=system:masters');
  const reason = () =>
    kubectl('-n', 'shop', 'get', 'sj', JOB, '-o', 'jsonpath={.status.conditions[?(@.type=="Ready")].reason}');
  const shared = await attempt(
    'a job of tier shared, made and removed by the CLI, comes and goes in kubectl too',
    async () => {
      const file = join(stage.folder, 'small.yaml');
      await writeFile(file, SMALL);
      await bulkhead('apply', '-f', file, '--wait', '--timeout', '120s');
      await kubectl('-n', 'shop', 'wait', '--for=condition=Ready', 'sj/small', '--timeout=60s');
      const [pod = ''] = (await kubectl('-n', 'shop', 'get', 'pods', '-o', 'name')).split('\n');
      await bulkhead('delete', 'shop/small', '--wait', '--timeout', '120s');
      assert.equal(await kubectl('-n', 'shop', 'get', 'sj/small', '--ignore-not-found'), '');
      assert.equal(await kubectl('-n', 'shop', 'get', 'deployments', '-o', 'name'), '');
      return `${pod} in the tenant's namespace; gone`;
    },
  );
  const kept = await attempt('what kubectl apply keeps, the CLI changes by taking over only', async () => {
    const change = ['rollback', `shop/${JOB}`, '--to', '1', '--reason', 'e2e'];
    await kubectl('-n', 'shop', 'scale', `sj/${JOB}`, '--replicas=1');
    await until('the scale is stored', 60_000, async () =>
      (await bulkhead('get', `shop/${JOB}`, '-o', 'json')).includes('"generation": 2'),
    );
    await assert.rejects(bulkhead(...change), /--take-over/);
    await bulkhead(...change, '--take-over');
    await until('it is written back', 60_000, async () => {
      const replicas = await kubectl('-n', 'shop', 'get', 'sj', JOB, '-o', 'jsonpath={.spec.workers.replicas}');
      return replicas === '2' && (await reason()) === 'WorkersReady';
    });
    return 'refused, then taken over and written back';
  });
  const repaired = await attempt(
    'what somebody changes in a cell by hand is put right, each kind of object',
    async () => {
      const cell = await kubectl('-n', 'shop', 'get', 'sj', JOB, '-o', 'jsonpath={.status.cell}');
      const label = LABELS.tenant;
      const shown = `jsonpath={.metadata.labels.${label.replaceAll('.', String.raw`\.`)}}`;
      for (const kind of CELL_KIND_NAMES) {
        const object = kind === 'Namespace' ? [`namespace/${cell}`] : ['-n', cell, `${kind.toLowerCase()}/${JOB}`];
        await breakGlass('label', '--overwrite', ...object, `${label}=somebody`);
        await until(
          `${kind} is put right`,
          60_000,
          async () => (await kubectl('get', ...object, '-o', shown)) === 'shop',
        );
      }
      return `${CELL_KIND_NAMES.length} kinds`;
    },
  );
  const foreign = await attempt('a foreign object under one of our names is a condition, never seized', async () => {
    const cell = await kubectl('-n', 'shop', 'get', 'sj', JOB, '-o', 'jsonpath={.status.cell}');
    const resources = ['resourcequota', 'limitrange'] as const;
    const operator = (replicas: number) =>
      kubectl('-n', SYSTEM, 'scale', 'deployment/bulkhead-operator', `--replicas=${replicas}`);
    // While it is away, or it would be faster.
    await operator(0);
    await kubectl(
      '-n',
      SYSTEM,
      'wait',
      '--for=delete',
      'pod',
      '-l',
      'app.kubernetes.io/name=bulkhead',
      '--timeout=60s',
    );
    for (const resource of resources) {
      const body = {
        apiVersion: 'v1',
        kind: KINDS[resource],
        metadata: { name: JOB, namespace: cell },
        spec: SPECS[resource],
      };
      const file = join(stage.folder, `${resource}.json`);
      await writeFile(file, JSON.stringify(body));
      await breakGlass('-n', cell, 'delete', resource, JOB);
      await kubectl('create', '-f', file);
    }
    await operator(2);
    await until('they are said to be foreign', 120_000, async () => (await reason()) === 'ForeignObject');
    for (const resource of resources) {
      const labels = await kubectl('-n', cell, 'get', resource, JOB, '-o', 'jsonpath={.metadata.labels}');
      assert.equal(labels, '', `${resource} was left alone`);
      await kubectl('-n', cell, 'delete', resource, JOB);
    }
    await until('they are made again', 120_000, async () => (await reason()) === 'WorkersReady');
    return 'ForeignObject, then made again once it was gone';
  });
  return [shared, kept, repaired, foreign];
}
