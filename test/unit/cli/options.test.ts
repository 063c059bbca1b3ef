import assert from 'node:assert/strict';
import { test } from 'node:test';
import { month } from '../../../src/cli/archive.ts';
import { author } from '../../../src/cli/context.ts';
import { duration, parseJob, parseJobAt, tenantOf, wholeNumber } from '../../../src/cli/options.ts';
import { healthAddress } from '../../../src/cli/run-command.ts';

test('times are read as Go reads them', () => {
  assert.deepEqual(
    ['500ms', '90s', '1h30m', '1.5m', '2d'].map(duration),
    [500, 90_000, 5_400_000, 90_000, 172_800_000],
  );
  for (const wrong of ['', '5', 's', '5x', '5s x', '-5s', '0s', '5 m']) assert.throws(() => duration(wrong), /90s/);
});

test('numbers are whole and not below their least', () => {
  assert.equal(wholeNumber(-1)('-1'), -1);
  for (const wrong of ['-2', '1.5', '1e3', 'x', '', '99999999999'])
    assert.throws(() => wholeNumber(-1)(wrong), /whole/);
});

test('a job is a name in the tenant of -n, or tenant/name', () => {
  assert.deepEqual(parseJob('clicks', {}), { tenant: 'default', name: 'clicks' });
  assert.deepEqual(parseJob('clicks', { namespace: 'ads' }), { tenant: 'ads', name: 'clicks' });
  assert.deepEqual(parseJob('ads/clicks', {}), { tenant: 'ads', name: 'clicks' });
  assert.deepEqual(parseJob('ads/clicks', { namespace: 'ads' }), { tenant: 'ads', name: 'clicks' });
  assert.deepEqual(parseJob('ads/clicks', { allNamespaces: true }), { tenant: 'ads', name: 'clicks' });
});

test('what names no job, or two tenants, is said to do so', () => {
  assert.throws(() => parseJob('ads/clicks', { namespace: 'web' }), /not in the tenant web/);
  assert.throws(() => parseJob('clicks', { allNamespaces: true }), /leave -A out/);
  assert.throws(() => parseJob('a/b/c', {}), /NAME or TENANT\/NAME/);
  assert.throws(() => parseJob('Clicks', {}), /cannot be the name of a job: expected at most 63/);
  assert.throws(() => parseJob('/clicks', {}), /cannot be a tenant/);
  assert.throws(() => parseJob('clicks', { namespace: '' }), /cannot be a tenant/);
});

test('a revision of a job is named behind an @', () => {
  assert.deepEqual(parseJobAt('ads/clicks@12', {}), { job: { tenant: 'ads', name: 'clicks' }, revision: 12 });
  assert.deepEqual(parseJobAt('clicks', {}), { job: { tenant: 'default', name: 'clicks' }, revision: null });
  for (const wrong of ['clicks@', 'clicks@0', 'clicks@1.5', 'clicks@x', 'clicks@1@2', 'clicks@-1']) {
    assert.throws(() => parseJobAt(wrong, {}), /names no revision: expected JOB@3/);
  }
});

test('a month begins at midnight in UTC', () => {
  assert.equal(month('2026-03').toISOString(), '2026-03-01T00:00:00.000Z');
  for (const wrong of ['2026', '2026-13', '2026-00', '26-03', '2026-03-01'])
    assert.throws(() => month(wrong), /2026-03/);
});

test('lists are of one tenant, unless all are asked for', () => {
  assert.equal(tenantOf({}), 'default');
  assert.equal(tenantOf({ namespace: 'ads' }), 'ads');
  assert.equal(tenantOf({ namespace: 'ads', allNamespaces: true }), null);
});

test('health is served on an address, or nowhere', () => {
  assert.deepEqual(healthAddress('127.0.0.1:8080'), { host: '127.0.0.1', port: 8080 });
  assert.deepEqual(healthAddress('[::1]:0'), { host: '::1', port: 0 });
  assert.deepEqual(healthAddress(':9'), { host: '0.0.0.0', port: 9 });
  assert.equal(healthAddress('none'), 'none');
  for (const wrong of ['', '8080', 'host', 'host:', 'host:70000', '::1:80']) {
    assert.throws(() => healthAddress(wrong), /HOST:PORT/, wrong);
  }
});

test('the author is whom $BULKHEAD_AUTHOR names, else the user of the machine', (t) => {
  t.after(() => {
    delete process.env.BULKHEAD_AUTHOR;
  });
  process.env.BULKHEAD_AUTHOR = ' ann ';
  assert.equal(author(), 'ann');
  process.env.BULKHEAD_AUTHOR = '';
  assert.match(author(), /^.+@.+$/);
});
