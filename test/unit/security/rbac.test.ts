import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { readAudit, requestsOf } from '../../../security/rbac/audit.ts';
import { compare, comparisonFindings } from '../../../security/rbac/compare.ts';
import { forbiddenRights } from '../../../security/rbac/forbidden.ts';
import { OPERATOR_ACCOUNT } from '../../../security/rbac/index.ts';
import { covers, grantedTo, type Right, rightText } from '../../../security/rbac/rights.ts';

const right = (verb: string, resource: string, parts: Partial<Right> = {}): Right => ({
  verb,
  group: '',
  resource,
  namespace: '*',
  name: '*',
  ...parts,
});
const SUBJECTS = [{ kind: 'ServiceAccount', name: 'bulkhead-operator', namespace: 'bulkhead-system' }];
const ROLE = (rules: unknown[]) => ({ kind: 'ClusterRole', metadata: { name: 'r' }, rules });
const BINDING = { kind: 'ClusterRoleBinding', metadata: { name: 'b' }, roleRef: { kind: 'ClusterRole', name: 'r' } };
const granted = (...rules: unknown[]) => grantedTo(OPERATOR_ACCOUNT, [ROLE(rules), { ...BINDING, subjects: SUBJECTS }]);

describe('what roles grant', () => {
  test('rules become single rights, with names, subresources and paths', () => {
    const rules = [
      { apiGroups: ['', 'apps'], resources: ['a'], verbs: ['get', 'list'] },
      { apiGroups: [''], resources: ['configmaps'], resourceNames: ['fence'], verbs: ['patch'] },
      { nonResourceURLs: ['/metrics'], verbs: ['get'] },
    ];
    const texts = ['get a', 'get a.apps', 'list a', 'list a.apps', 'patch configmaps fence', 'get /metrics'];
    assert.deepEqual(granted(...rules).map(rightText), texts);
  });

  test('a RoleBinding grants in its own namespace, of a Role or a ClusterRole', () => {
    const binding = { ...BINDING, kind: 'RoleBinding', metadata: { name: 'b', namespace: 'ads' }, subjects: SUBJECTS };
    const role = ROLE([{ apiGroups: [''], resources: ['pods'], verbs: ['list'] }]);
    assert.deepEqual(grantedTo(OPERATOR_ACCOUNT, [role, binding]).map(rightText), ['list pods in ads']);
  });

  test('what is bound to somebody else is not granted', () => {
    const other = { ...BINDING, subjects: [{ kind: 'Group', name: 'admins' }] };
    const role = ROLE([{ apiGroups: ['*'], resources: ['*'], verbs: ['*'] }]);
    assert.deepEqual(grantedTo(OPERATOR_ACCOUNT, [role, other]), []);
  });

  test('a role from elsewhere cannot be judged, and that is an error', () => {
    const admin = { ...BINDING, roleRef: { kind: 'ClusterRole', name: 'cluster-admin' }, subjects: SUBJECTS };
    assert.throws(() => grantedTo(OPERATOR_ACCOUNT, [admin]), /not in the manifests/);
  });

  test('a right for one name or namespace is not enough for all', () => {
    assert.ok(covers(right('get', 'a'), right('get', 'a', { namespace: 'x', name: 'y' })));
    assert.ok(!covers(right('get', 'a', { namespace: 'x' }), right('get', 'a')));
    assert.ok(!covers(right('get', 'a', { name: 'x' }), right('get', 'a', { name: 'y' })));
    assert.ok(!covers(right('get', 'streamjobs'), right('get', 'streamjobs/status')));
  });
});

describe('rights that must not be there are found', () => {
  const cases: readonly Right[] = [
    right('*', 'pods'),
    right('get', '*'),
    right('get', 'a', { group: '*' }),
    right('get', '*/scale'),
    right('escalate', 'clusterroles', { group: 'rbac.authorization.k8s.io' }),
    right('bind', 'clusterroles', { group: 'rbac.authorization.k8s.io' }),
    right('impersonate', 'users'),
    right('create', 'serviceaccounts/token'),
    right('get', 'nodes/proxy'),
    right('get', 'secrets'),
    right('watch', 'secrets', { namespace: 'ads', name: 'x' }),
    right('create', 'pods'),
    right('create', 'pods/exec'),
    right('patch', 'roles', { group: 'rbac.authorization.k8s.io' }),
    right('delete', 'validatingadmissionpolicies', { group: 'admissionregistration.k8s.io' }),
    right('deletecollection', 'deployments', { group: 'apps' }),
  ];
  for (const one of cases) test(rightText(one), () => assert.notDeepEqual(forbiddenRights([one]), []));
  test('and only those', () => {
    assert.deepEqual(forbiddenRights([right('list', 'pods'), right('create', 'namespaces')]), []);
  });
});

interface Parts {
  readonly verb: string;
  readonly code?: number;
  readonly decision?: string;
  readonly stage?: string;
  readonly user?: string;
  readonly objectRef?: object;
  readonly impersonatedUser?: object;
}
const line = ({ verb, code = 200, decision = 'allow', stage = 'ResponseComplete', user, ...rest }: Parts): string =>
  JSON.stringify({
    kind: 'Event',
    stage,
    verb,
    requestURI: '/version?x',
    user: { username: user ?? OPERATOR_ACCOUNT },
    responseStatus: { code },
    annotations: { 'authorization.k8s.io/decision': decision },
    ...rest,
  });
const STATUS = { resource: 'streamjobs', apiGroup: 'bulkhead.dev', subresource: 'status', namespace: 'ads', name: 'x' };

describe('what an audit log says', () => {
  const read = (parts: Parts) =>
    requestsOf(line(parts), OPERATOR_ACCOUNT).map(({ right: it, allowed }) => [rightText(it), allowed]);

  test('a request names its group, subresource, namespace and name', () => {
    const expected = [['patch streamjobs/status.bulkhead.dev x in ads', true]];
    assert.deepEqual(read({ verb: 'patch', objectRef: STATUS }), expected);
  });
  test('a path is a right too', () => assert.deepEqual(read({ verb: 'get' }), [['get /version', true]]));
  test('a server-side apply of something new needs create besides', () => {
    const texts = read({ verb: 'patch', code: 201, objectRef: { resource: 'pods' } }).map(([text]) => text);
    assert.deepEqual(texts, ['patch pods', 'create pods']);
  });
  test('what the authorizer forbids is not allowed; what admission refuses is', () => {
    assert.deepEqual(read({ verb: 'get', code: 403, decision: 'forbid' }), [['get /version', false]]);
    assert.deepEqual(read({ verb: 'get', code: 403 }), [['get /version', true]]);
  });
  test('other users, and the beginning of a request, do not count', () => {
    assert.deepEqual(read({ verb: 'get', user: 'admin' }), []);
    assert.deepEqual(read({ verb: 'get', stage: 'RequestReceived' }), []);
  });
  test('who is acted as counts, not who acts', () => {
    assert.equal(read({ verb: 'get', user: 'admin', impersonatedUser: { username: OPERATOR_ACCOUNT } }).length, 1);
    assert.equal(read({ verb: 'get', impersonatedUser: { username: 'somebody' } }).length, 0);
  });

  test('files are read together, each request once, and a line that was cut off is left out', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'bulkhead-audit-'));
    try {
      const files = [join(folder, 'a'), join(folder, 'b')];
      const text = line({ verb: 'get' });
      for (const file of files) await writeFile(file, `${text}\n${text}\n${text.slice(0, -5)}`);
      const reading = await readAudit(files, OPERATOR_ACCOUNT);
      assert.deepEqual([reading.events, reading.requests.length], [4, 1]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe('granted and used are compared both ways', () => {
  const used = (verb: string, resource: string, parts: Partial<Right> = {}, allowed = true) => ({
    right: right(verb, resource, parts),
    allowed,
  });
  const findings = (rights: Right[], requests: ReturnType<typeof used>[]) =>
    comparisonFindings(compare(rights, requests));

  test('the same on both sides is no finding', () => {
    assert.deepEqual(findings([right('get', 'pods')], [used('get', 'pods', { namespace: 'a', name: 'b' })]), []);
  });
  test('a right that was never used is found', () => {
    assert.deepEqual(findings([right('get', 'pods'), right('list', 'pods')], [used('get', 'pods')]), [
      'granted and never used: list pods',
    ]);
  });
  test('rights that differ in their verb alone are told together', () => {
    assert.deepEqual(findings([right('get', 'pods'), right('list', 'pods'), right('get', 'nodes')], []), [
      'granted and never used: get, list pods',
      'granted and never used: get nodes',
    ]);
  });
  test('a right that was asked for in vain is found once, whatever it was asked for', () => {
    const vain = [used('get', 'pods', { name: 'a' }, false), used('get', 'pods', { name: 'b' }, false)];
    assert.deepEqual(findings([], vain), ['asked for and not granted: get pods']);
  });
  test('what was allowed by rights from elsewhere is found', () => {
    assert.deepEqual(findings([], [used('list', 'nodes')]), ['asked for and not granted: list nodes']);
  });
  test('what everybody may do who has logged in needs no right', () => {
    const review = used('create', 'selfsubjectaccessreviews', { group: 'authorization.k8s.io' });
    assert.deepEqual(findings([], [review, used('get', '/version'), used('get', '/openapi/v3/apis/apps/v1')]), []);
    assert.equal(findings([], [used('get', '/metrics')]).length, 1);
  });
  test('a right that another one contains is found, and of two equal ones only one', () => {
    const rights = [right('get', 'pods'), right('get', 'pods', { namespace: 'a' }), right('get', 'pods')];
    assert.deepEqual(
      findings(rights, [used('get', 'pods', { namespace: 'a' })]).filter((text) => text.includes('twice')),
      ['granted twice: get pods in a', 'granted twice: get pods'],
    );
  });
});
