import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { z } from 'zod';
import { expand } from '../../../security/pods/expansion.ts';
import { untried } from '../../../security/pods/index.ts';
import { ATTEMPTS, notRefused, openMaps } from '../../../security/pods/refused.ts';
import { garbled, type Rendered, render, strays } from '../../../security/pods/template.ts';
import type { JobSpec } from '../../../src/job/spec.ts';
import type { KubeObject } from '../../../src/plan/objects.ts';

/** Each judge of pods finds what it is there for. */

const JOB = { tenant: 'ads', name: 'clicks' };
const SPEC: JobSpec = { container: { image: 'a', args: ['$(HOME)', '$$'], env: [{ name: 'A', value: '$(B)' }] } };

interface Template {
  readonly metadata: { readonly labels: Record<string, string> };
  readonly spec: Record<string, unknown> & { readonly containers: Record<string, unknown>[] };
}

/** The cell of {@link SPEC} after somebody has changed its pods. */
function changed(change: (template: Template) => void): Rendered {
  const cell = structuredClone(render(JOB, SPEC)) as Rendered & { template: Template };
  change(cell.template);
  return cell;
}

test('a rendered cell has nothing that a tenant got hold of', () => {
  assert.deepEqual(strays(render(JOB, SPEC), JOB), []);
  assert.deepEqual(garbled(render(JOB, SPEC).template, SPEC), []);
});

describe('what a tenant got hold of is found', () => {
  const volumes = [{ name: 'tmp', secret: { secretName: 'x' } }];
  const cases: readonly [what: string, spec: Record<string, unknown>, finding: RegExp][] = [
    ['a node', { nodeName: 'a' }, /nodeName/],
    ['a priority', { priorityClassName: 'system-node-critical' }, /priorityClassName/],
    ['a runtime', { runtimeClassName: 'runc' }, /runtimeClassName/],
    ['a token', { automountServiceAccountToken: true }, /token/],
    ['another account', { serviceAccountName: 'bulkhead-operator' }, /bulkhead-operator/],
    ['a volume', { volumes }, /volumes/],
  ];
  for (const [what, spec, finding] of cases) {
    test(what, () => {
      const cell = changed((template) => Object.assign(template.spec, spec));
      assert.match(strays(cell, JOB).join(), finding);
    });
  }
  test('a mount', () => {
    const cell = changed(({ spec }) => Object.assign(spec.containers[0] ?? {}, { volumeMounts: [] }));
    assert.match(strays(cell, JOB).join(), /mounts/);
  });
  test('a label', () => {
    const cell = changed(({ metadata }) => Object.assign(metadata.labels, { 'app.kubernetes.io/part-of': 'x' }));
    assert.match(strays(cell, JOB).join(), /part-of/);
  });
  const elsewhere: readonly [string, Partial<KubeObject['metadata']>, RegExp][] = [
    ['another namespace', { namespace: 'kube-system' }, /lies in kube-system/],
    ['an owner', { ownerReferences: [] }, /has an owner/],
  ];
  for (const [what, metadata, finding] of elsewhere) {
    test(what, () => {
      const { objects, template } = render(JOB, SPEC);
      const moved = objects.map((object) => ({ ...object, metadata: { ...object.metadata, ...metadata } }));
      assert.match(strays({ objects: moved, template }, JOB).join(), finding);
    });
  }
});

test('a text that would arrive otherwise than written is found', () => {
  const cell = changed(({ spec }) => Object.assign(spec.containers[0] ?? {}, { args: ['$(HOME)', '$$'] }));
  assert.deepEqual(garbled(cell.template, SPEC), ['"$(HOME)" arrives as "EXPANDED"', '"$$" arrives as "$"']);
});

describe('texts are expanded as a kubelet does (cases of its own test)', () => {
  const variables = new Map(Object.entries({ VAR_A: 'A', VAR_B: 'B', VAR_C: 'C', VAR_REF: '$(VAR_A)', VAR_EMPTY: '' }));
  const cases: Readonly<Record<string, string>> = {
    '$(VAR_A)': 'A',
    '___$(VAR_B)___': '___B___',
    '$(VAR_A)-$(VAR_A)': 'A-A',
    '$(VAR_REF)': '$(VAR_A)',
    'foo$(VAR_EMPTY)bar': 'foobar',
    'foo\\\\$(VAR_C)bar': 'foo\\\\Cbar',
    '$$(VAR_A)': '$(VAR_A)',
    '$$$(VAR_A)': '$A',
    $VAR_A: '$VAR_A',
    '$(VAR_DNE)': '$(VAR_DNE)',
    '$(VAR_A)$': 'A$',
    'f000-$VAR_A)': 'f000-$VAR_A)',
    '$(': '$(',
    $$: '$',
    '$(VAR_A': '$(VAR_A',
    '$?': '$?',
  };
  for (const [text, expected] of Object.entries(cases)) {
    test(text, () => assert.equal(expand(text, variables), expected));
  }
});

describe('hostile files are refused for what is hostile in them', () => {
  for (const attempt of ATTEMPTS) test(attempt.what, () => assert.equal(notRefused(attempt), null));
});

test('a file that is taken, or refused for something else, is found', () => {
  const [hostNetwork] = ATTEMPTS;
  assert.ok(hostNetwork);
  const harmless = hostNetwork.text.replace('"hostNetwork":true', '"suspended":true');
  assert.match(notRefused({ ...hostNetwork, text: harmless }) ?? '', /is taken/);
  assert.match(notRefused({ ...hostNetwork, text: 'kind: Pod' }) ?? '', /for something else/);
});

test('a map that takes any field is found at any depth', () => {
  const schema = z.strictObject({ a: z.array(z.strictObject({ b: z.looseObject({ c: z.string() }).nullable() })) });
  assert.deepEqual(openMaps(schema, 'spec'), ['spec.a[].b']);
});

test('a field that no random spec has is found', () => {
  assert.ok(untried([SPEC]).includes('spec.container.probes.liveness.exec.command[]'));
  assert.ok(!untried([SPEC]).includes('spec.container.args[]'));
});
