import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { effectiveSpec } from '../../../src/job/defaults.ts';
import { withQuantitiesAsText } from '../../../src/job/object-spec.ts';
import { type JobSpec, jobSpecSchema } from '../../../src/job/spec.ts';
import { specArbitrary } from '../../support/arbitrary.ts';

const spec = (resources: object): JobSpec => ({ container: { image: 'app' }, workers: { replicas: 2, resources } });

test('a fraction, which Kubernetes does not take as a number, becomes text; whole numbers and text stay', () => {
  assert.deepEqual(
    withQuantitiesAsText(spec({ requests: { cpu: 0.5, memory: '64Mi' }, limits: { cpu: 1, memory: 1.5 } })),
    spec({ requests: { cpu: '0.5', memory: '64Mi' }, limits: { cpu: 1, memory: '1.5' } }),
  );
});

test('a spec that names no resources is returned as it is, and no field appears that was not there', () => {
  const bare: JobSpec = { container: { image: 'app' } };
  assert.equal(withQuantitiesAsText(bare), bare);
  assert.deepEqual(withQuantitiesAsText(spec({ limits: { cpu: 0.25 } })), spec({ limits: { cpu: '0.25' } }));
});

test('what it gives is a spec that means the same', () => {
  fc.assert(
    fc.property(specArbitrary, (written) => {
      const text = jobSpecSchema.parse(withQuantitiesAsText(written));
      assert.deepEqual(effectiveSpec(text), effectiveSpec(written));
    }),
  );
});
