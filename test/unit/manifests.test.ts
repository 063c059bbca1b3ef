import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse, parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { OPERATOR_RIGHTS, type Right } from '../../src/cli/rights.ts';

/** The properties that manifests/ must keep, whatever else changes in it. That they run is shown by test/e2e. */

const MANIFESTS = join(import.meta.dirname, '../../manifests');

const objectSchema = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({
    name: z.string(),
    namespace: z.string().optional(),
    labels: z.record(z.string(), z.string()),
  }),
});
const kustomizationSchema = z.looseObject({ resources: z.array(z.string()) });
const roleSchema = z.looseObject({
  rules: z.array(
    z.strictObject({
      apiGroups: z.array(z.string()),
      resources: z.array(z.string()),
      resourceNames: z.array(z.string()).optional(),
      verbs: z.array(z.string()),
    }),
  ),
});
const bindingSchema = z.looseObject({
  roleRef: z.looseObject({ kind: z.string(), name: z.string() }),
  subjects: z.array(z.looseObject({ kind: z.string(), name: z.string(), namespace: z.string() })),
});
const probeSchema = z.looseObject({
  httpGet: z.strictObject({ path: z.string(), port: z.string() }),
  periodSeconds: z.number(),
  failureThreshold: z.number(),
});
const quantitiesSchema = z.strictObject({ cpu: z.string(), memory: z.string(), 'ephemeral-storage': z.string() });
const deploymentSchema = z.looseObject({
  spec: z.looseObject({
    selector: z.strictObject({ matchLabels: z.record(z.string(), z.string()) }),
    template: z.strictObject({
      metadata: z.looseObject({ labels: z.record(z.string(), z.string()) }),
      spec: z.looseObject({
        serviceAccountName: z.string(),
        terminationGracePeriodSeconds: z.number(),
        securityContext: z.unknown(),
        containers: z.tuple([
          z.looseObject({
            imagePullPolicy: z.string(),
            env: z.array(z.looseObject({ name: z.string() })),
            ports: z.array(z.strictObject({ name: z.string(), containerPort: z.number() })),
            startupProbe: probeSchema,
            livenessProbe: probeSchema,
            readinessProbe: probeSchema,
            resources: z.strictObject({ requests: quantitiesSchema, limits: quantitiesSchema }),
            securityContext: z.unknown(),
          }),
        ]),
      }),
    }),
  }),
});

const read = (...path: string[]): string => readFileSync(join(MANIFESTS, ...path), 'utf8');
const filesOf = (folder: string) => readdirSync(join(MANIFESTS, folder)).filter((n) => n !== 'kustomization.yaml');
const objectsOf = (folder: string) =>
  filesOf(folder).flatMap((name) =>
    parseAllDocuments(read(folder, name)).map((document) => objectSchema.parse(document.toJS())),
  );
const resourcesOf = (...path: string[]) =>
  kustomizationSchema.parse(parse(read(...path, 'kustomization.yaml'))).resources;
const admission = objectsOf('admission');
const objects = objectsOf('base');

function only(kind: string, among = objects): z.infer<typeof objectSchema> {
  const [found, ...others] = among.filter((object) => object.kind === kind);
  assert.ok(found && others.length === 0, `one ${kind}`);
  return found;
}

const deployment = deploymentSchema.parse(only('Deployment')).spec;
const pod = deployment.template.spec;
const [operator] = pod.containers;

const rightText = ({ verb, group, resource, namespace = '*', name = '*' }: Right): string =>
  `${verb} ${resource}.${group} ${namespace}/${name}`;

const grantedBy = (role: z.infer<typeof objectSchema>): Right[] => {
  const { namespace } = role.metadata;
  return roleSchema
    .parse(role)
    .rules.flatMap(({ apiGroups, resources, verbs, resourceNames: [name] = [] }) =>
      apiGroups.flatMap((group) =>
        resources.flatMap((resource) =>
          verbs.map((verb) => ({ verb, group, resource, ...(namespace && { namespace }), ...(name && { name }) })),
        ),
      ),
    );
};
const granted = [...grantedBy(only('ClusterRole')), ...grantedBy(only('Role'))];

test('every file is applied, and nothing else: the base brings the operator alone, the fence is the cluster’s', () => {
  for (const folder of ['base', 'admission']) {
    assert.deepEqual(resourcesOf(folder).toSorted(), filesOf(folder).toSorted(), folder);
  }
});

test('every overlay stands on the base alone and names an image', () => {
  for (const overlay of readdirSync(join(MANIFESTS, 'overlays'))) {
    const text = parse(read('overlays', overlay, 'kustomization.yaml'));
    assert.deepEqual(resourcesOf('overlays', overlay), ['../../base'], overlay);
    const images = z.looseObject({ images: z.array(z.looseObject({ name: z.string(), newName: z.string() })) });
    assert.equal(images.parse(text).images[0]?.name, 'bulkhead', overlay);
  }
});

test('everything that is in a namespace is in the one that is made, which enforces Pod Security restricted', () => {
  const namespace = only('Namespace', admission);
  assert.equal(namespace.metadata.labels['pod-security.kubernetes.io/enforce'], 'restricted');
  const named = [...objects, ...admission].flatMap(({ metadata }) => metadata.namespace ?? []);
  assert.deepEqual([...new Set(named)], [namespace.metadata.name]);
});

test('rights: exactly those that `bulkhead run` asks for before it starts, each once', () => {
  assert.deepEqual(granted.map(rightText).sort(), OPERATOR_RIGHTS.map(rightText).sort());
});

test('rights: nothing that leads to more rights, to Secrets, to nodes or into pods', () => {
  const verbs = new Set(granted.map(({ verb }) => verb));
  for (const verb of ['*', 'escalate', 'bind', 'impersonate', 'deletecollection']) {
    assert.ok(!verbs.has(verb), verb);
  }
  const names = granted.map(({ group, resource }) => `${resource}.${group}`);
  const forbidden = names.filter((name) => /\*|secrets|nodes|\/|roles|rolebindings|\.rbac|admission/.test(name));
  assert.deepEqual(forbidden, []);
  const onPods = granted.filter(({ resource }) => resource === 'pods').map(({ verb }) => verb);
  assert.deepEqual(onPods, ['list', 'watch'], 'no pod is made, changed or entered');
});

test('rights: of all ConfigMaps the operator sees the fence alone, and cannot delete it', () => {
  const onConfigMaps = granted.filter(({ resource }) => resource === 'configmaps').map(rightText);
  const fence = 'configmaps. bulkhead-system/bulkhead-fence';
  assert.deepEqual(onConfigMaps, [`get ${fence}`, `patch ${fence}`]);
});

test("rights: they belong to the operator's own account and to nobody else", () => {
  const { name, namespace } = only('ServiceAccount').metadata;
  for (const role of ['ClusterRole', 'Role']) {
    const binding = bindingSchema.parse(only(`${role}Binding`));
    assert.deepEqual([binding.roleRef.kind, binding.roleRef.name], [role, only(role).metadata.name]);
    assert.deepEqual(binding.subjects, [{ kind: 'ServiceAccount', name, namespace }]);
  }
  assert.equal(pod.serviceAccountName, name);
  assert.equal(only('ServiceAccount').automountServiceAccountToken, false, 'no other pod gets the token unasked');
});

test("the operator's pod gives up everything that it can do without", () => {
  assert.deepEqual(pod.securityContext, {
    runAsNonRoot: true,
    runAsUser: 65532,
    runAsGroup: 65532,
    seccompProfile: { type: 'RuntimeDefault' },
  });
  assert.deepEqual(operator.securityContext, {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
  });
  for (const field of ['hostNetwork', 'hostPID', 'hostIPC', 'volumes']) assert.equal(pod[field], undefined, field);
});

test('the database is named by a Secret, so that no password is in a manifest', () => {
  const [database, ...others] = operator.env;
  assert.deepEqual(database, {
    name: 'DATABASE_URL',
    valueFrom: { secretKeyRef: { name: 'bulkhead-database', key: 'url' } },
  });
  assert.deepEqual(others, []);
});

test('the probes ask where health is served: restarted only when the process hangs, ready only when it works', () => {
  const [health] = operator.ports;
  assert.equal(health?.containerPort, 8080);
  const asked = [operator.startupProbe, operator.livenessProbe, operator.readinessProbe].map(({ httpGet }) => httpGet);
  assert.deepEqual(asked, [
    { path: '/healthz', port: health?.name },
    { path: '/healthz', port: health?.name },
    { path: '/readyz', port: health?.name },
  ]);
  const { periodSeconds, failureThreshold } = operator.startupProbe;
  assert.ok(periodSeconds * failureThreshold >= 600, 'a migration may take 10 min (src/store/migrate.ts)');
});

test('a stop is given longer than the 10 s that the operator promises', () => {
  assert.ok(pod.terminationGracePeriodSeconds > 10);
});

test("a Deployment's selector finds its pods, and an image that is there is not pulled", () => {
  assert.deepEqual(deployment.selector.matchLabels, deployment.template.metadata.labels);
  assert.equal(operator.imagePullPolicy, 'IfNotPresent');
});
