import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse, parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { OPERATOR_RIGHTS, type Right } from '../../src/cli/rights.ts';

/** The properties that the install must keep, whatever else changes in it. That it runs is shown by test/e2e. */

const ROOT = join(import.meta.dirname, '../..');
const MANIFESTS = join(ROOT, 'manifests');

const objectSchema = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({
    name: z.string(),
    namespace: z.string().optional(),
    labels: z.record(z.string(), z.string()).optional(),
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
const containerSchema = z.looseObject({
  image: z.string(),
  imagePullPolicy: z.string(),
  env: z.array(z.looseObject({ name: z.string() })),
  resources: z.strictObject({ requests: quantitiesSchema, limits: quantitiesSchema }),
  securityContext: z.unknown(),
});
const deploymentSchema = z.looseObject({
  spec: z.looseObject({
    replicas: z.number(),
    strategy: z.unknown(),
    selector: z.strictObject({ matchLabels: z.record(z.string(), z.string()) }),
    template: z.strictObject({
      metadata: z.looseObject({ labels: z.record(z.string(), z.string()) }),
      spec: z.looseObject({
        serviceAccountName: z.string(),
        terminationGracePeriodSeconds: z.number(),
        securityContext: z.unknown(),
        volumes: z.unknown(),
        initContainers: z.tuple([containerSchema.extend({ args: z.array(z.string()) })]),
        containers: z.tuple([
          containerSchema.extend({
            ports: z.array(z.looseObject({ name: z.string(), containerPort: z.number() })),
            startupProbe: probeSchema,
            livenessProbe: probeSchema,
            readinessProbe: probeSchema,
          }),
        ]),
      }),
    }),
  }),
});

const read = (...path: string[]): string => readFileSync(join(MANIFESTS, ...path), 'utf8');
const filesOf = (folder: string) => readdirSync(join(MANIFESTS, folder)).filter((n) => n !== 'kustomization.yaml');
const resourcesOf = (folder: string) =>
  kustomizationSchema
    .parse(parse(read(folder, 'kustomization.yaml')))
    .resources.filter((name) => !name.startsWith('../'));
const objectsIn = (file: string) =>
  parseAllDocuments(readFileSync(join(ROOT, file), 'utf8')).map((document) => objectSchema.parse(document.toJS()));

const objects = objectsIn('install.yaml');
const dev = objectsIn('install-dev.yaml');

function only(kind: string, name = 'bulkhead-operator', among = objects): z.infer<typeof objectSchema> {
  const [found, ...others] = among.filter((object) => object.kind === kind && object.metadata.name === name);
  assert.ok(found && others.length === 0, `one ${kind} ${name}`);
  return found;
}

const deployment = deploymentSchema.parse(only('Deployment')).spec;
const pod = deployment.template.spec;
const [operator] = pod.containers;
const [migration] = pod.initContainers;

const rightText = ({ verb, group, resource, subresource, namespace = '*', name = '*' }: Right): string =>
  `${verb} ${resource}${subresource === undefined ? '' : `/${subresource}`}.${group} ${namespace}/${name}`;

const grantedBy = (role: z.infer<typeof objectSchema>): Right[] => {
  const { namespace } = role.metadata;
  return roleSchema.parse(role).rules.flatMap(({ apiGroups, resources, verbs, resourceNames: [name] = [] }) =>
    apiGroups.flatMap((group) =>
      resources.flatMap((path) => {
        const [resource = '', subresource] = path.split('/');
        const of = { group, resource, ...(subresource && { subresource }) };
        return verbs.map((verb) => ({ verb, ...of, ...(namespace && { namespace }), ...(name && { name }) }));
      }),
    ),
  );
};
const granted = [...grantedBy(only('ClusterRole')), ...grantedBy(only('Role'))];

test('every file is applied, and nothing else', () => {
  for (const folder of ['base', 'admission', 'crd']) {
    assert.deepEqual(resourcesOf(folder).toSorted(), filesOf(folder).toSorted(), folder);
  }
});

test('install.yaml has all that there is: what a job is, who may do what, the policies, and who runs', () => {
  const kinds = new Set(objects.map(({ kind }) => kind));
  const expected = [
    'CustomResourceDefinition',
    'Namespace',
    'ConfigMap',
    'ValidatingAdmissionPolicy',
    'ValidatingAdmissionPolicyBinding',
    'MutatingAdmissionPolicy',
    'MutatingAdmissionPolicyBinding',
    'ServiceAccount',
    'ClusterRole',
    'ClusterRoleBinding',
    'Role',
    'RoleBinding',
    'NetworkPolicy',
    'Service',
    'Deployment',
    'PodDisruptionBudget',
  ];
  assert.deepEqual([...kinds].sort(), expected.sort());
});

test('a namespace comes before what is in it, and who runs after what it runs under', () => {
  for (const all of [objects, dev]) {
    const place = (kind: string, name: string) => all.indexOf(only(kind, name, all));
    for (const [index, { metadata }] of all.entries()) {
      if (metadata.namespace !== undefined) assert.ok(place('Namespace', metadata.namespace) < index, metadata.name);
    }
    const last = all.findLastIndex(
      ({ kind }) => /Role|Policy|ServiceAccount|Definition/.test(kind) && !/Network/.test(kind),
    );
    if (all === objects) assert.ok(place('Deployment', 'bulkhead-operator') > last);
  }
});

test('everything says by its label whose it is, since `bulkhead uninstall` goes by that', () => {
  const unlabelled = objects.filter(
    ({ kind, metadata }) =>
      kind !== 'CustomResourceDefinition' && metadata.labels?.['app.kubernetes.io/name'] !== 'bulkhead',
  );
  assert.deepEqual(
    unlabelled.map(({ kind, metadata }) => `${kind} ${metadata.name}`),
    [],
  );
});

test('everything that is in a namespace is in the one that is made, which enforces Pod Security restricted', () => {
  const namespace = only('Namespace', 'bulkhead-system');
  assert.equal(namespace.metadata.labels?.['pod-security.kubernetes.io/enforce'], 'restricted');
  const named = objects.flatMap(({ metadata }) => metadata.namespace ?? []);
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
  const names = granted.map(({ group, resource, subresource = '' }) => `${resource}/${subresource}.${group}`);
  const forbidden = names.filter((name) => /\*|secrets|nodes|token|pods\/.*[a-z]|roles|\.rbac|admission/.test(name));
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
  const bindings = objects.filter(({ kind }) => kind.endsWith('RoleBinding'));
  assert.equal(bindings.length, 2, 'people get theirs by aggregation alone');
  assert.equal(pod.serviceAccountName, name);
  assert.equal(only('ServiceAccount').automountServiceAccountToken, false, 'no other pod gets the token unasked');
});

test("the operator's pod gives up everything that it can do without", () => {
  assert.deepEqual(pod.securityContext, {
    runAsNonRoot: true,
    runAsUser: 65532,
    runAsGroup: 65532,
    fsGroup: 65532,
    seccompProfile: { type: 'RuntimeDefault' },
  });
  for (const { securityContext } of [operator, migration]) {
    assert.deepEqual(securityContext, {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
  }
  for (const field of ['hostNetwork', 'hostPID', 'hostIPC']) assert.equal(pod[field], undefined, field);
});

const fromSecret = (key: string, optional = {}) => ({ secretKeyRef: { name: 'bulkhead-database', key, ...optional } });
const url = { name: 'DATABASE_URL', valueFrom: fromSecret('url') };
const verified = { name: 'PGSSLMODE', value: 'verify-full' };

test('the database is named by a Secret, and its certificate is verified unless its URL says otherwise', () => {
  assert.deepEqual(
    operator.env?.filter(({ name }) => name !== 'NODE_OPTIONS'),
    [url, verified],
  );
  const items = [{ key: 'ca.crt', path: 'ca.crt' }];
  const secret = { secretName: 'bulkhead-database', optional: true, items };
  assert.deepEqual(pod.volumes, [{ name: 'database-ca', secret }], 'no password is in the file system');
});

test('the heap at its largest leaves a fifth of the memory limit to the rest, or the kernel would kill what could collect', () => {
  const options = operator.env?.find(({ name }) => name === 'NODE_OPTIONS')?.value;
  const mebibytes = (flag: string): number =>
    Number(new RegExp(`--max-${flag}-size=(\\d+)`).exec(String(options))?.[1]);
  // The young generation is three semi-spaces at the most.
  const heap = mebibytes('old-space') + 3 * mebibytes('semi-space');
  const limit = /^(\d+)Mi$/.exec(String(operator.resources.limits.memory))?.[1];
  assert.ok(heap <= 0.8 * Number(limit), `${heap} MiB of heap in ${limit} MiB`);
});

test("the schema is brought up to date before each start, and only then is the owner's role known", () => {
  assert.deepEqual(migration.args, ['migrate']);
  const owner = { name: 'DATABASE_ADMIN_URL', valueFrom: fromSecret('admin-url', { optional: true }) };
  assert.deepEqual(migration.env, [url, owner, verified]);
  assert.equal(migration.image, operator.image);
});

test('no install has a password in it, and that for trying gives the right to fill one Secret to its Postgres alone', () => {
  for (const all of [objects, dev]) {
    for (const secret of all.filter(({ kind }) => kind === 'Secret')) {
      assert.deepEqual(
        ['data', 'stringData'].filter((field) => field in secret),
        [],
      );
      assert.equal(secret.type, 'Opaque', 'of any other type it could become a token');
    }
  }
  assert.deepEqual(grantedBy(only('Role', 'bulkhead-postgres', dev)).map(rightText), [
    'get secrets. bulkhead-system/bulkhead-database',
    'patch secrets. bulkhead-system/bulkhead-database',
  ]);
});

test('install-dev.yaml is install.yaml and a Postgres in a namespace of its own, which outlives an uninstall', () => {
  const text = (all: typeof objects) => all.map((object) => JSON.stringify(object));
  const added = dev.filter((object) => !text(objects).includes(JSON.stringify(object)));
  assert.equal(added.length, dev.length - objects.length);
  const inSystem = added.filter(({ metadata }) => metadata.namespace === 'bulkhead-system').map(({ kind }) => kind);
  assert.deepEqual(inSystem, ['Secret', 'Role', 'RoleBinding'], 'only the way to tell where it is');
});

test('images are of this version, from nowhere in the world, and not pulled where they are', () => {
  const { version } = z
    .looseObject({ version: z.string() })
    .parse(JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')));
  for (const { image, imagePullPolicy } of [operator, migration]) {
    assert.equal(image, `bulkhead.local/operator:${version}`);
    assert.equal(imagePullPolicy, 'IfNotPresent');
  }
});

test('two replicas, apart where that can be had, of which one is there during upgrades and drains', () => {
  assert.equal(deployment.replicas, 2);
  assert.deepEqual(deployment.strategy, { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } });
  const { spec } = z.looseObject({ spec: z.unknown() }).parse(only('PodDisruptionBudget'));
  assert.deepEqual(spec, { maxUnavailable: 1, selector: deployment.selector });
});

test('nothing comes in but to health and metrics, and nothing goes out but to what the operator needs', () => {
  const policySpec = (name: string) => z.looseObject({ spec: z.unknown() }).parse(only('NetworkPolicy', name)).spec;
  assert.deepEqual(policySpec('default-deny'), { podSelector: {}, policyTypes: ['Ingress', 'Egress'] });
  const ports = (...numbers: number[]) => ({ ports: numbers.map((port) => ({ port, protocol: 'TCP' })) });
  const dns = { ports: ['UDP', 'TCP'].map((protocol) => ({ port: 53, protocol })) };
  assert.deepEqual(policySpec('bulkhead-operator'), {
    podSelector: deployment.selector,
    policyTypes: ['Ingress', 'Egress'],
    ingress: [ports(8080)],
    egress: [dns, ports(443, 6443, 8443), ports(5432, 6432)],
  });
});

test('nothing of the operator or its version is in what a cell is rendered from, so an upgrade restarts no worker', () => {
  for (const folder of ['src/plan', 'src/engines', 'src/job']) {
    for (const file of readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })) {
      if (!file.endsWith('.ts')) continue;
      const text = readFileSync(join(ROOT, folder, file), 'utf8');
      assert.doesNotMatch(text, /package\.json|process\.(env|version)|node:os/, `${folder}/${file}`);
    }
  }
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

test("a Deployment's selector finds its pods", () => {
  assert.deepEqual(deployment.selector.matchLabels, deployment.template.metadata.labels);
});
