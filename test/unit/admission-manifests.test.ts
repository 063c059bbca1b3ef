import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse, parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { FENCE_NAME, FENCE_NAMESPACE } from '../../src/cluster/epoch-fence-data.ts';
import { SHARD_COUNT } from '../../src/job/ids.ts';
import { ANNOTATIONS, CELL_KINDS, LABELS, MANAGER } from '../../src/plan/objects.ts';

/**
 * The properties that the admission policies must keep. That they work is shown by test/integration/fence.test.ts and
 * test/integration/admission-*.test.ts.
 */

const FOLDER = join(import.meta.dirname, '../../manifests/admission');

const expressionSchema = z.looseObject({ expression: z.string() });
const policySchema = z.looseObject({
  metadata: z.looseObject({ name: z.string() }),
  spec: z.looseObject({
    failurePolicy: z.string(),
    paramKind: z.unknown().optional(),
    matchConstraints: z.looseObject({
      objectSelector: z.unknown().optional(),
      resourceRules: z.array(
        z.strictObject({
          operations: z.array(z.string()),
          apiGroups: z.array(z.string()),
          apiVersions: z.array(z.string()),
          resources: z.array(z.string()),
        }),
      ),
    }),
    matchConditions: z.array(expressionSchema).default([]),
    validations: z.array(expressionSchema.extend({ reason: z.string().optional() })).default([]),
  }),
});
const bindingSchema = z.looseObject({
  metadata: z.looseObject({ name: z.string() }),
  spec: z.looseObject({
    policyName: z.string(),
    validationActions: z.array(z.string()),
    paramRef: z.unknown().optional(),
  }),
});

const texts = readdirSync(FOLDER).map((file) => readFileSync(join(FOLDER, file), 'utf8'));
const documents = texts.flatMap((text) => parseAllDocuments(text).map((document) => document.toJS()));
const ofKind = (kind: string) => documents.filter((document) => document.kind === kind);
const policies = ofKind('ValidatingAdmissionPolicy').map((document) => policySchema.parse(document));
const bindings = ofKind('ValidatingAdmissionPolicyBinding').map((document) => bindingSchema.parse(document));
/** It says no to nothing: see its file. */
const KEEPALIVE = 'bulkhead-keepalive';
/** How the condition begins by which what is as it should be is let go early. */
const NO_DELETION = "!(request.operation in ['CREATE', 'UPDATE'] && ";
const real = policies.filter(({ metadata }) => metadata.name !== KEEPALIVE);

function policy(name: string): z.infer<typeof policySchema> {
  const found = policies.find(({ metadata }) => metadata.name === name);
  assert.ok(found, name);
  return found;
}

test('every policy is bound, refuses with 403, and refuses too when it cannot be evaluated', () => {
  assert.deepEqual(
    bindings.map(({ spec }) => spec.policyName),
    policies.map(({ metadata }) => metadata.name),
  );
  for (const { spec } of bindings) assert.deepEqual(spec.validationActions, ['Deny']);
  for (const { spec } of real) {
    assert.equal(spec.failurePolicy, 'Fail');
    assert.ok(spec.validations.every(({ reason }) => reason === 'Forbidden'));
  }
});

test('the fence is for every kind of a cell, by its label in the old state or the new', () => {
  const { matchConstraints } = policy('bulkhead-fence').spec;
  const covered = matchConstraints.resourceRules.flatMap(({ operations, apiGroups, apiVersions, resources }) => {
    assert.deepEqual(operations, ['CREATE', 'UPDATE', 'DELETE']);
    return resources.map((resource) => `${apiGroups.join()}/${apiVersions.join()}/${resource}`);
  });
  const kinds = Object.values(CELL_KINDS).map(({ apiVersion, resource }) =>
    apiVersion.includes('/') ? `${apiVersion}/${resource}` : `/${apiVersion}/${resource}`,
  );
  assert.deepEqual(covered.toSorted(), kinds.toSorted());
  assert.deepEqual(matchConstraints.objectSelector, { matchExpressions: [{ key: LABELS.store, operator: 'Exists' }] });
});

test('without the fence nothing is let through that is compared with it', () => {
  const compared = real.filter(({ spec }) => spec.paramKind !== undefined).map(({ metadata }) => metadata.name);
  assert.deepEqual(compared.toSorted(), ['bulkhead-fence', 'bulkhead-fence-resource']);
  for (const { spec } of bindings.filter(({ spec: { policyName } }) => compared.includes(policyName))) {
    assert.deepEqual(spec.paramRef, { name: FENCE_NAME, namespace: FENCE_NAMESPACE, parameterNotFoundAction: 'Deny' });
  }
});

test('the keepalive has a ConfigMap as its parameter like the fence, and matches nothing that exists', () => {
  const { spec } = policy(KEEPALIVE);
  assert.deepEqual(spec.paramKind, policy('bulkhead-fence').spec.paramKind);
  assert.deepEqual(
    spec.matchConstraints.resourceRules.map(({ apiGroups }) => apiGroups),
    [['keepalive.bulkhead.dev']],
  );
});

test('authors are stamped by a policy that is bound and lets nothing through when it cannot be evaluated', () => {
  const [author, ...others] = ofKind('MutatingAdmissionPolicy').map((document) => policySchema.parse(document));
  const [binding] = ofKind('MutatingAdmissionPolicyBinding');
  assert.ok(author && others.length === 0 && binding.spec.policyName === author.metadata.name);
  assert.deepEqual([author.spec.failurePolicy, author.spec.reinvocationPolicy], ['Fail', 'IfNeeded']);
  const [rule] = author.spec.matchConstraints.resourceRules;
  assert.deepEqual(rule?.resources, ['streamjobs'], 'a subresource carries no annotations');
});

test('the operator is fenced for every resource there is, by the name of its account', () => {
  const { matchConstraints, matchConditions } = policy('bulkhead-operator').spec;
  assert.deepEqual(matchConstraints.resourceRules, [
    { operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*'] },
  ]);
  const account = "'system:serviceaccount:bulkhead-system:bulkhead-operator'";
  const [who, ...others] = matchConditions.map(({ expression }) => expression);
  assert.equal(who, `request.userInfo.username == ${account}`);
  assert.deepEqual(
    others.map((expression) => expression.slice(0, NO_DELETION.length)),
    [NO_DELETION],
  );
});

test('what a policy lets go early is a create or an update and nothing else: deletions are judged by every validation', () => {
  const early = policy('bulkhead-fence').spec.matchConditions.filter(({ expression }) => expression.includes('params'));
  assert.deepEqual(
    early.map(({ expression }) => expression.slice(0, NO_DELETION.length)),
    [NO_DELETION],
  );
});

test('the policy that is installed last is the one whose effect is waited for (test/cluster/admission.ts)', () => {
  const { resources } = parse(readFileSync(join(FOLDER, 'kustomization.yaml'), 'utf8'));
  assert.equal(resources.at(-1), 'fence-policy.yaml');
});

test('the ConfigMap comes without data, so that applying it again takes no epoch away', () => {
  const [fence, ...others] = ofKind('ConfigMap');
  assert.deepEqual([fence.metadata.name, fence.metadata.namespace, others.length], [FENCE_NAME, FENCE_NAMESPACE, 0]);
  assert.ok(!('data' in fence) && !('binaryData' in fence));
});

test('labels, annotations, the manager and the number of shards are those of the source', () => {
  const resource = ['bulkhead.dev/author', 'bulkhead.dev/written-by', 'bulkhead.dev/streamjobs'];
  const known: readonly string[] = [...Object.values(LABELS), ...Object.values(ANNOTATIONS), ...resource];
  const used = texts.join('\n').match(/bulkhead\.dev\/[a-z-]+/g) ?? [];
  assert.deepEqual(
    used.filter((name) => !known.includes(name)),
    [],
  );
  const said = JSON.stringify(policies);
  assert.ok(said.includes(`orValue('') == '${MANAGER}'`) && said.includes(`size() == ${SHARD_COUNT}`));
});

test('exempt are Kubernetes’ own controllers by their whole names, nodes and who breaks the glass; no administrator', () => {
  for (const { spec, metadata } of real.filter(({ metadata: { name } }) => name !== 'bulkhead-operator')) {
    const conditions = spec.matchConditions.map(({ expression }) => expression).join('\n');
    const named: readonly string[] = conditions.match(/'(system|bulkhead):[^']+'/g) ?? [];
    assert.ok(named.includes("'bulkhead:break-glass'"), metadata.name);
    for (const name of named) {
      const own = /^'system:(apiserver|kube-[a-z-]+|nodes|serviceaccount:kube-system:[a-z-]+)'$/;
      assert.ok(own.test(name) || name === "'bulkhead:break-glass'", name);
    }
  }
});
