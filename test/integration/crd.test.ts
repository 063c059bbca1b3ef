import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { parse } from 'yaml';
import { MERGE_PATCH } from '../../src/cluster/transport.ts';
import { missingFields } from '../../src/crd/missing.ts';
import { type CrdCluster, crdCluster, jobPath, liveDefinition, streamJob, TENANT } from './crd-cluster.ts';

/** The CustomResourceDefinition on a real API server, as people meet it through kubectl. */

const image = 'registry.example/team/app:1';
const APPLIES = 10;

interface OpenApiNode {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, OpenApiNode>>;
  readonly items?: OpenApiNode;
}

const undescribed = (node: OpenApiNode, path: string): string[] => [
  ...(node.description === undefined ? [path] : []),
  ...Object.entries(node.properties ?? {}).flatMap(([field, child]) => undescribed(child, `${path}.${field}`)),
  ...(node.items ? undescribed(node.items, `${path}[]`) : []),
];

describe('the CustomResourceDefinition on an API server', () => {
  let here: CrdCluster;
  before(async () => {
    here = await crdCluster('crd');
  });
  after(() => here?.[Symbol.asyncDispose]());

  it('is established, structural, and has all that the operator needs', async () => {
    const live = (await liveDefinition(here.api)) as { status: { conditions: { type: string; status: string }[] } };
    const conditions = new Map(live.status.conditions.map(({ type, status }) => [type, status]));
    assert.equal(conditions.get('Established'), 'True');
    assert.equal(conditions.get('NamesAccepted'), 'True');
    assert.equal(conditions.has('NonStructuralSchema'), false);
    assert.deepEqual(missingFields(live), []);
  });

  it('is what kubectl applies, and applying it again changes nothing', async () => {
    const args = [
      'apply',
      '--server-side',
      '--force-conflicts',
      '-k',
      'manifests/crd',
      '-o',
      'jsonpath={.metadata.resourceVersion}',
    ];
    const first = await here.kubectl(args);
    assert.equal(await here.kubectl(args), first);
  });

  it('takes the examples, by client-side and by server-side apply, and says unchanged the second time', async () => {
    for (const flags of [['--server-side'], []]) {
      const apply = ['apply', ...flags, '-f', 'examples/'];
      await here.kubectl([...apply, '--dry-run=server']);
    }
    await here.kubectl(['apply', '-f', 'examples/']);
    const again = await here.kubectl(['apply', '-f', 'examples/']);
    assert.deepEqual(again.match(/\bunchanged\b/g)?.length, 3, again);
  });

  it('is found as sj, as streamjob and among all, and shows the columns', async () => {
    await here.apply('me', 'shown', { container: { image } });
    const status = {
      observedGeneration: 1,
      phase: 'Running',
      workers: '1/1',
      replicas: 1,
      readyReplicas: 1,
      restarts: 0,
      revision: 3,
      tier: 'namespace',
      cell: 'bh-ads-shown',
      conditions: [{ type: 'Ready', status: 'True', reason: 'WorkersReady', message: 'All 1 workers are ready.' }],
    };
    await here.api.call('PATCH', `${jobPath('shown')}/status`, { body: { status }, contentType: MERGE_PATCH });
    const narrow = await here.kubectl(['get', 'sj', 'shown', '-n', TENANT]);
    assert.match(
      narrow,
      /^NAME +READY +PHASE +WORKERS +TIER +REVISION +AGE\nshown +True +Running +1\/1 +namespace +3 +\d+s$/,
    );
    const wide = await here.kubectl(['get', 'streamjob', 'shown', '-n', TENANT, '-o', 'wide']);
    assert.match(
      wide,
      /AGE +REASON +CELL +RESTARTS +MESSAGE\n.* WorkersReady +bh-ads-shown +0 +All 1 workers are ready\.$/,
    );
    assert.match(await here.kubectl(['get', 'all', '-n', TENANT, '-o', 'name']), /streamjob\.bulkhead\.dev\/shown/);
    await here.kubectl(['wait', '--for=condition=Ready', 'sj/shown', '-n', TENANT, '--timeout=5s']);
  });

  it('reads like a manual: no field of spec or status is without a description', async () => {
    const document = (await here.api.call('GET', '/openapi/v3/apis/bulkhead.dev/v1alpha1')) as {
      components: { schemas: Record<string, OpenApiNode> };
    };
    const { properties = {} } = document.components.schemas['dev.bulkhead.v1alpha1.StreamJob'] ?? {};
    for (const part of ['spec', 'status']) assert.deepEqual(undescribed(properties[part] ?? {}, part), []);
    const recursive = await here.kubectl(['explain', 'streamjob.spec', '--recursive']);
    assert.doesNotMatch(recursive, /<no description>|<empty>/);
    assert.match(recursive, /secretKeyRef\s+<Object>/);
    const one = await here.kubectl(['explain', 'sj.spec.workers.replicas']);
    assert.match(
      one.replace(/\s+/g, ' '),
      /How many workers run, 0 to 1000\..*Left out: as platform\.defaults say, else 1\./,
    );
  });

  it('keeps an unknown field out: strict by kubectl, pruned otherwise', async () => {
    const body = streamJob('pruned', { container: { image, privileged: true } });
    await assert.rejects(
      here.kubectl(['create', '-f', '-'], JSON.stringify(body)),
      /unknown field "spec\.container\.privileged"/,
    );
    await here.kubectl(['create', '--validate=false', '-f', '-'], JSON.stringify(body));
    assert.deepEqual((await here.get('pruned')).spec, { container: { image } }, 'and no default was added');
  });

  it(`shows a GitOps tool no difference: ${APPLIES} server-side applies by another manager are one write`, async () => {
    const spec = parse(await here.kubectl(['get', 'sj', 'clicks-by-country', '-n', TENANT, '-o', 'yaml'])).spec;
    const first = await here.apply('argocd', 'gitops', spec);
    assert.deepEqual(first.spec, spec, 'what is read is what was written');
    for (let i = 1; i < APPLIES; i += 1) {
      const next = await here.apply('argocd', 'gitops', spec);
      assert.equal(next.metadata.resourceVersion, first.metadata.resourceVersion);
    }
  });

  it('merges variables and ports by their names, so that two managers may each have their own', async () => {
    await here.apply('team', 'merged', { container: { image, env: [{ name: 'A', value: '1' }] } });
    const both = await here.apply('platform', 'merged', { container: { env: [{ name: 'B', value: '2' }] } });
    assert.deepEqual(both.spec, {
      container: {
        image,
        env: [
          { name: 'A', value: '1' },
          { name: 'B', value: '2' },
        ],
      },
    });
    const rest = await here.apply('platform', 'merged', { container: { env: [] } });
    assert.deepEqual(
      rest.spec,
      { container: { image, env: [{ name: 'A', value: '1' }] } },
      'each removes its own only',
    );
  });

  it('changes from one kind of probe to another by apply, as GitOps tools and people do', async () => {
    const probe = (readiness: object) => ({ container: { image, probes: { readiness } } });
    for (const [flag, name] of [
      ['--server-side', 'probe-a'],
      ['--server-side=false', 'probe-b'],
    ] as const) {
      for (const readiness of [{ tcpSocket: { port: 1 } }, { exec: { command: ['true'] } }]) {
        const body = JSON.stringify(streamJob(name, probe(readiness)));
        await here.kubectl(['apply', flag, '-f', '-'], body);
        assert.deepEqual((await here.get(name)).spec, probe(readiness));
      }
    }
  });

  it('keeps spec and status apart: a write to one leaves the other alone', async () => {
    const made = await here.apply('me', 'apart', { container: { image } });
    const patch = { spec: { suspended: true }, status: { phase: 'Running' } };
    await here.api.call('PATCH', `${jobPath('apart')}/status`, { body: patch, contentType: MERGE_PATCH });
    const status = await here.get('apart');
    assert.deepEqual([status.spec, status.status], [{ container: { image } }, { phase: 'Running' }]);
    assert.equal(status.metadata.generation, made.metadata.generation, 'a status is no edit');
    await here.api.call('PATCH', jobPath('apart'), {
      body: { ...patch, status: { phase: 'Gone' } },
      contentType: MERGE_PATCH,
    });
    const edited = await here.get('apart');
    assert.deepEqual([edited.spec.suspended, edited.status], [true, { phase: 'Running' }]);
    assert.equal(edited.metadata.generation, made.metadata.generation + 1);
  });

  it('scales by kubectl, also where the spec names no workers; only reading the scale needs a number there', async () => {
    await here.apply('me', 'scaled', { container: { image } });
    const scale = `${jobPath('scaled')}/scale`;
    await assert.rejects(
      here.api.call('GET', scale),
      /the spec replicas field "\.spec\.workers\.replicas" does not exist/,
    );
    await here.kubectl(['scale', 'sj/scaled', '-n', TENANT, '--replicas=3']);
    assert.deepEqual((await here.get('scaled')).spec, { container: { image }, workers: { replicas: 3 } });
    const status = { replicas: 2, selector: 'bulkhead.dev/job-id=00000000-0000-0000-0000-000000000000' };
    await here.api.call('PATCH', `${jobPath('scaled')}/status`, { body: { status }, contentType: MERGE_PATCH });
    const { spec, status: seen } = (await here.api.call('GET', scale)) as { spec: unknown; status: unknown };
    assert.deepEqual([spec, seen], [{ replicas: 3 }, status], 'what an autoscaler reads');
    await here.kubectl(['scale', 'sj/scaled', '-n', TENANT, '--replicas=0']);
    assert.deepEqual((await here.get('scaled')).spec.workers, { replicas: 0 });
    await assert.rejects(
      here.kubectl(['scale', 'sj/scaled', '-n', TENANT, '--replicas=1001']),
      /less than or equal to 1000/,
    );
  });

  it('makes names of its own from a prefix, as `kubectl create` with generateName does', async () => {
    const body = {
      ...parse(JSON.stringify(streamJob('x', { container: { image } }))),
      metadata: { generateName: 'job-', namespace: TENANT },
    };
    assert.match(
      await here.kubectl(['create', '-f', '-', '-o', 'name'], JSON.stringify(body)),
      /streamjob\.bulkhead\.dev\/job-/,
    );
  });
});
