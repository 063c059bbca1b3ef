import assert from 'node:assert/strict';
import type { NetworkInterfaceInfo } from 'node:os';
import { test } from 'node:test';
import { isLocalServer } from '../../../src/cli/local-server.ts';
import { OPERATOR_RIGHTS, rightsText } from '../../../src/cli/rights.ts';
import { humanLine } from '../../../src/cli/run-log.ts';

const on = (address: string, cidr: string): NetworkInterfaceInfo[] => [
  { address, cidr, family: 'IPv4', netmask: '', mac: '', internal: false },
];

const INTERFACES = {
  eth0: on('10.0.0.5', '10.0.0.5/24'),
  docker0: on('172.17.0.1', '172.17.0.1/16'),
  'br-0123456789ab': on('172.18.0.1', '172.18.0.1/16'),
};

test("loopback addresses and the networks of this machine's Docker are local", () => {
  for (const host of ['127.0.0.1', '127.9.9.9', '[::1]', 'localhost', 'kind.localhost', '172.17.0.2', '172.18.0.3']) {
    assert.equal(isLocalServer(`https://${host}:6443`, INTERFACES), true, host);
  }
});

test("everything else may be somebody else's, also private addresses", () => {
  for (const host of [
    '10.0.0.6',
    '172.19.0.1',
    '192.168.1.1',
    '8.8.8.8',
    'k8s.example',
    'localhost.example',
    '[fd00::1]',
  ]) {
    assert.equal(isLocalServer(`https://${host}:6443/proxy`, INTERFACES), false, host);
  }
});

test('the operator asks for no right on Secrets, and for no wildcard', () => {
  for (const { verb, resource } of OPERATOR_RIGHTS) {
    assert.notEqual(resource, 'secrets');
    assert.ok(verb !== '*' && resource !== '*');
  }
});

test('missing rights are named, resources of the same verbs together', () => {
  const text = rightsText([
    { verb: 'create', group: '', resource: 'services' },
    { verb: 'delete', group: '', resource: 'services' },
    { verb: 'create', group: 'apps', resource: 'deployments' },
    { verb: 'delete', group: 'apps', resource: 'deployments' },
    { verb: 'list', group: '', resource: 'pods' },
  ]);
  assert.equal(text, 'create/delete services, deployments.apps; list pods');
});

test('a log entry is one readable line, inert on a terminal', () => {
  const entry = {
    level: 'warn',
    time: '2026-11-23T12:00:01.000Z',
    job: 'ads/clicks',
    error: 'a b\u001b',
    msg: 'lost\n',
  };
  assert.equal(
    humanLine(JSON.stringify(entry), (_style, text) => text),
    '12:00:01 WARN  lost\\u000a job=ads/clicks error="a b\\u001b"\n',
  );
});
