import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { missingRights, OPERATOR_RIGHTS, type Right, rightsText, rightsWithin } from '../../src/cli/rights.ts';

/** What manifests grant is what the operator asks for, both ways. That it suffices: test/integration/admission-operator. */

const MANIFESTS = join(import.meta.dirname, '../../manifests');

const roleSchema = z.looseObject({
  kind: z.string(),
  metadata: z.looseObject({
    name: z.string(),
    namespace: z.string().optional(),
    labels: z.record(z.string(), z.string()).default({}),
  }),
  rules: z
    .array(
      z.strictObject({
        apiGroups: z.array(z.string()),
        resources: z.array(z.string()),
        resourceNames: z.array(z.string()).optional(),
        verbs: z.array(z.string()),
      }),
    )
    .default([]),
});
type Role = z.infer<typeof roleSchema>;

const rolesIn = (file: string): Role[] =>
  parseAllDocuments(readFileSync(join(MANIFESTS, file), 'utf8'))
    .flatMap((document) => document.toJS().items ?? [document.toJS()])
    .map((object) => roleSchema.parse(object))
    .filter(({ kind }) => kind === 'Role' || kind === 'ClusterRole');

const grantedBy = ({ metadata: { namespace }, rules }: Role): Right[] =>
  rules.flatMap(({ apiGroups, resources, verbs, resourceNames: [name] = [] }) =>
    apiGroups.flatMap((group) =>
      resources.flatMap((text) =>
        verbs.map((verb) => {
          const [resource = '', subresource] = text.split('/');
          // In a Role that is the Role's own namespace.
          const of = name ?? (resource === 'namespaces' ? namespace : undefined);
          return {
            verb,
            group,
            resource,
            ...(subresource && { subresource }),
            ...(namespace && { namespace }),
            ...(of && { name: of }),
          };
        }),
      ),
    ),
  );

const said = (rights: readonly Right[]) => rights.map((right) => JSON.stringify(Object.entries(right).sort())).sort();
const all = rolesIn('base/rbac.yaml').flatMap(grantedBy);
const namespaced = [
  ...rolesIn('base/rbac.yaml').filter(({ kind }) => kind === 'Role'),
  ...rolesIn('overlays/namespaced/roles.yaml'),
  ...rolesIn('overlays/namespaced/tenants.yaml'),
].flatMap(grantedBy);

test('granted are exactly the rights that `bulkhead run` asks for before it starts, each once', () => {
  assert.deepEqual(said(all), said(OPERATOR_RIGHTS));
});

test('without a ClusterRole, exactly those that `bulkhead run --namespaces ads` asks for', () => {
  assert.deepEqual(said(namespaced), said(rightsWithin(['ads'])));
});

test('nothing leads to more rights, to Secrets, to nodes or into pods', () => {
  for (const { verb, resource, subresource, name } of [...all, ...namespaced]) {
    const text = `${verb} ${resource}/${subresource} ${name}`;
    assert.ok(!/\*|escalate|bind|impersonate|deletecollection/.test(text), text);
    assert.ok(!/secrets|nodes|token|roles|admission|exec|proxy/.test(text), text);
    if (resource === 'pods') assert.match(verb, /^(list|watch)$/, 'no pod is made, changed or entered');
    if (resource === 'configmaps') assert.equal(name, 'bulkhead-fence');
    if (resource === 'customresourcedefinitions') assert.equal(`${verb} ${name}`, 'get streamjobs.bulkhead.dev');
  }
});

test('who views, edits or administers a namespace does the same with its StreamJobs; nobody writes a status', () => {
  const [view, edit, ...others] = rolesIn('base/user-roles.yaml');
  assert.ok(view && edit && others.length === 0);
  assert.equal(view.metadata.labels['rbac.authorization.k8s.io/aggregate-to-view'], 'true');
  assert.equal(edit.metadata.labels['rbac.authorization.k8s.io/aggregate-to-edit'], 'true');
  assert.ok(grantedBy(view).every(({ verb }) => ['get', 'list', 'watch'].includes(verb)));
  assert.ok(grantedBy(edit).every(({ subresource = '' }) => ['', 'scale'].includes(subresource)));
  assert.ok(
    [view, edit]
      .flatMap(grantedBy)
      .every(({ group, resource }) => `${resource}.${group}` === 'streamjobs.bulkhead.dev'),
  );
});

test('what is missing is asked for one by one; an administrator is asked once', async () => {
  let asked = 0;
  const answering = (allowed: (right: Right) => boolean) => ({
    call: async (_method: string, _path: string, options: { body?: unknown } = {}) => {
      asked += 1;
      const { spec } = options.body as { spec: { resourceAttributes: Right } };
      return { status: { allowed: allowed(spec.resourceAttributes) } };
    },
  });
  assert.deepEqual(await missingRights(answering(() => true)), []);
  assert.equal(asked, 1);
  const missing = await missingRights(answering(({ verb, subresource }) => verb !== '*' && subresource !== 'status'));
  assert.equal(rightsText(missing), 'patch streamjobs.bulkhead.dev/status');
});

test('a right in one namespace or for one object is said as that', () => {
  const text = rightsText(
    rightsWithin(['ads']).filter(({ resource }) => /^(namespaces|configmaps|pods)$/.test(resource)),
  );
  assert.equal(
    text,
    'list/watch pods in ads; get namespaces ads/ads, namespaces kube-system/kube-system; ' +
      'get/patch configmaps bulkhead-system/bulkhead-fence',
  );
});
