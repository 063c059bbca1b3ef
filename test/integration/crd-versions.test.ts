import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { MERGE_PATCH } from '../../src/cluster/transport.ts';
import { STREAM_JOB_DEFINITION } from '../../src/crd/definition.ts';
import { missingFields } from '../../src/crd/missing.ts';
import { until } from '../support/until.ts';
import { type CrdCluster, crdCluster, jobPath, liveDefinition } from './crd-cluster.ts';

/**
 * Row 26 of the faults: an older CustomResourceDefinition over a newer one, and back. What Kubernetes keeps and what it
 * prunes is shown as it is: nothing is lost by the change itself, but whatever is written in between loses the fields that
 * the older definition does not know. That is why the goal in Postgres is the truth, not the object.
 */

const SPREAD_TIMEOUT_MS = 30_000;

interface Loose {
  [field: string]: Loose;
}

/** Our definition as it may have been: without tiers and suspension, and without the status's mark. */
function olderDefinition(): unknown {
  const older = structuredClone(STREAM_JOB_DEFINITION) as unknown as { spec: { versions: Loose[] } };
  const properties = older.spec.versions[0]?.schema?.openAPIV3Schema?.properties;
  delete properties?.spec?.properties?.isolation;
  delete properties?.spec?.properties?.suspended;
  delete properties?.status?.properties?.writtenBy;
  return older;
}

/** Our definition from before tier `shared`. */
function definitionWithoutShared(): unknown {
  const older = structuredClone(STREAM_JOB_DEFINITION) as unknown as { spec: { versions: Loose[] } };
  const tier =
    older.spec.versions[0]?.schema?.openAPIV3Schema?.properties?.spec?.properties?.isolation?.properties?.tier;
  Object.assign(tier ?? {}, { enum: ['namespace'] });
  return older;
}

const SPEC = {
  container: { image: 'app:1' },
  isolation: { tier: 'namespace' },
  suspended: true,
};
const PRUNED = { container: { image: 'app:1' } };
const STATUS = { phase: 'Suspended', writtenBy: 'store epoch' };

describe('an older definition over a newer one, and back', () => {
  let here: CrdCluster;
  before(async () => {
    here = await crdCluster('crd-versions');
    for (const name of ['untouched', 'labelled', 'reported']) {
      await here.apply('me', name, SPEC);
      await here.api.call('PATCH', `${jobPath(name)}/status`, { body: { status: STATUS }, contentType: MERGE_PATCH });
    }
    await here.apply('me', 'shared', { container: { image: 'app:1' }, isolation: { tier: 'shared' } });
  });
  after(() => here?.[Symbol.asyncDispose]());

  const patch = (path: string, body: object) => here.api.call('PATCH', path, { body, contentType: MERGE_PATCH });
  const reads = (what: string, name: string, spec: object) =>
    until(what, SPREAD_TIMEOUT_MS, async () => JSON.stringify((await here.get(name)).spec) === JSON.stringify(spec));

  it('keeps what nobody writes, loses what is written meanwhile, and moves no generation', async () => {
    const before = await here.get('untouched');
    const generation = before.metadata.generation;

    await here.install(olderDefinition());
    await reads('the older definition is served', 'untouched', PRUNED);
    assert.deepEqual(
      missingFields(await liveDefinition(here.api)),
      ['spec.isolation', 'spec.suspended', 'status.writtenBy'],
      'an operator sees at its start that the definition is older than itself',
    );
    const pruned = await here.get('untouched');
    assert.deepEqual([pruned.spec, pruned.status], [PRUNED, { phase: 'Suspended' }], 'unknown fields are not shown');
    await patch(jobPath('labelled'), { metadata: { labels: { team: 'a' } } });
    await patch(`${jobPath('reported')}/status`, { status: { ...STATUS, phase: 'Running' } });

    await here.install();
    await reads('the newer definition is served', 'untouched', SPEC);
    assert.deepEqual(await here.get('untouched'), before, 'unwritten: the very same object, at the same version');
    for (const name of ['labelled', 'reported']) {
      const written = await here.get(name);
      assert.deepEqual(written.spec, PRUNED, `${name}: any write stored the object as the older definition sees it`);
      assert.equal(
        written.metadata.generation,
        generation,
        `${name}: which is nobody's edit, and the generation says so`,
      );
    }
  });

  it('keeps a word that an older definition does not know, and takes edits beside it', async () => {
    await here.install(definitionWithoutShared());
    let tries = 0;
    await until('the older words are checked', SPREAD_TIMEOUT_MS, () => {
      // One that was taken before is taken again: what an object already has is not checked anew.
      tries += 1;
      return here
        .apply('me', `refused-${tries}`, { container: { image: 'app:1' }, isolation: { tier: 'shared' } })
        .then(
          () => false,
          ({ message }: Error) => /Unsupported value: "shared"/.test(message),
        );
    });
    assert.deepEqual(missingFields(await liveDefinition(here.api)), ['spec.isolation.tier: shared']);
    await patch(jobPath('shared'), { spec: { suspended: true } });
    await here.install();
    const { spec } = await here.get('shared');
    assert.deepEqual(spec, { container: { image: 'app:1' }, isolation: { tier: 'shared' }, suspended: true });
  });
});
