import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { assertSentence, CommandLine, job } from './cli-process.ts';

/** What lies above and below a job's own layer: overrides and the platform. No cluster. */

let line: CommandLine;
const bulkhead: CommandLine['run'] = (args, surroundings) => line.run(args, surroundings);
const apply = (document: string, ...args: string[]) => bulkhead(['apply', '-f', '-', ...args], { input: document });
const find = (tenant: string, name: string) => line.database.store.find({ tenant, name });

before(async () => {
  line = await CommandLine.open();
});

after(() => line.close());

const platform = (spec: string, tenant?: string): string =>
  `apiVersion: bulkhead.dev/v1alpha1\nkind: Platform\n${tenant ? `metadata: {namespace: ${tenant}}\n` : ''}spec: {${spec}}\n`;

describe('override', () => {
  before(() => apply(job('o', 'call', 'container: {image: "app:1"}, workers: {replicas: 2}')));

  it('sets fields above the job for a while, shows them, is added to, and is cleared', async () => {
    const set = ['override', 'call/o', '--set', 'workers.replicas=5'];
    assertSentence(
      await bulkhead([...set, '--reason', 'load']),
      /an override ends: say when with --until 2h, or .*--until never/,
    );
    assertSentence(await bulkhead([...set, '--until', '2h']), /an override needs a reason/);
    const done = await bulkhead([...set, '--until', '2h', '--reason', 'load']);
    assert.deepEqual(
      [done.exitCode, done.stdout],
      [0, 'streamjob/o configured (tenant call, revision 2)\n'],
      done.stderr,
    );
    const shown = await bulkhead(['override', 'call/o']);
    assert.match(
      shown.stdout,
      /^Job: +call\/o\nRevision: +oncall@2\nSet by: +ann, .*\nWhy: +load\nHolds: +until 20.*Z \(in 1\d\dm\)\nSets:\n {2}workers:\n {4}replicas: 5\n$/,
    );
    const added = await bulkhead([
      'override',
      'call/o',
      '--set',
      'suspended=true',
      '--until',
      'never',
      '--reason',
      'stop',
    ]);
    assert.match(
      added.stderr,
      /^Added to the override that holds already \(revision 2 by ann: workers\.replicas=5, until .*\); all of it now holds until it is cleared\.\n$/,
    );
    const goal = await find('call', 'o');
    assert.deepEqual(goal?.layers.oncall?.content, {
      kind: 'patch',
      layer: 'oncall',
      patch: { workers: { replicas: 5 }, suspended: true },
      until: null,
    });
    assert.equal(JSON.parse((await bulkhead(['override', 'call/o', '-o', 'json'])).stdout).override.revision, 3);
    const cleared = await bulkhead(['override', 'call/o', '--clear', '--reason', 'over']);
    assert.equal(cleared.stdout, 'streamjob/o configured (tenant call, revision 4)\n');
    assert.match((await bulkhead(['override', 'call/o'])).stderr, /^call\/o has no override\.\n$/);
    assert.match(
      (await bulkhead(['override', 'call/o', '--clear', '--reason', 'x'])).stderr,
      /call\/o has no override: nothing to clear/,
    );
    const again = await bulkhead([...set, '--until', '1h', '--reason', 'once more']);
    assert.equal(again.stdout, 'streamjob/o configured (tenant call, revision 5)\n', again.stderr);
  });

  it('says what is wrong with what is set, and stores nothing of it', async () => {
    const bad = await bulkhead(['override', 'call/o', '--set', 'workers.replica=5', '--until', '1h', '--reason', 'x']);
    assert.deepEqual([bad.exitCode, bad.stdout], [1, '']);
    assert.match(bad.stderr, /workers\.replica/);
    const past = await bulkhead([
      'override',
      'call/o',
      '--set',
      'suspended=true',
      '--until',
      '2020-01-01T00:00:00Z',
      '--reason',
      'x',
    ]);
    assertSentence(past, /--until 2020-01-01T00:00:00\.000Z is in the past/);
    assert.match(
      (await bulkhead(['override', 'call/o', '--set', 'a=b', '--until', 'soon', '--reason', 'x'])).stderr,
      /Expected a time such as 2h/,
    );
    assertSentence(
      await bulkhead(['override', 'call/nobody', '--set', 'suspended=true', '--until', '1h', '--reason', 'x']),
      /streamjob "nobody" not found in tenant call/,
    );
    assert.equal((await find('call', 'o'))?.revision, 5);
  });

  it('ends by the clock of the database, however wrong that of the machine is', async () => {
    await apply(job('late', 'call'));
    const clock = await line.file('clock.mjs', 'const now = Date.now; Date.now = () => now() - 3 * 3_600_000;');
    const args = ['override', 'call/late', '--set', 'suspended=true', '--reason', 'x', '--until'];
    const startedAt = Date.now();
    const done = await bulkhead([...args, '2h'], { env: { NODE_OPTIONS: `--import=${clock}` } });
    assert.equal(done.exitCode, 0, done.stderr);
    const said = (await find('call', 'late'))?.layers.oncall?.content;
    assert.ok(said?.kind === 'patch' && said.layer === 'oncall' && said.until);
    const lastsMs = said.until.getTime() - startedAt;
    assert.ok(lastsMs >= 7_200_000 && lastsMs < 7_260_000, `${lastsMs} ms`);
    const past = new Date(Date.now() - 3_600_000).toISOString();
    assertSentence(await bulkhead([...args, past], { env: { NODE_OPTIONS: `--import=${clock}` } }), /is in the past/);
  });

  it('a dry run shows the plan under the override, and stores nothing', async () => {
    const dry = await bulkhead([
      'override',
      'call/o',
      '--set',
      'workers.replicas=6',
      '--until',
      '1h',
      '--reason',
      'x',
      '--dry-run=server',
    ]);
    assert.match(
      dry.stdout,
      /^streamjob\/o configured \(server dry run\) \(tenant call, revision 6\)\n[\s\S]*create Deployment o: revision 6 needs it/,
    );
    assert.equal((await find('call', 'o'))?.revision, 5);
  });

  it('explain, get and describe show where fields come from', async () => {
    const { stdout } = await bulkhead(['explain', 'call/o', '--overridden']);
    assert.match(
      stdout,
      /\nworkers\.replicas +5 +oncall +5 +ann +once more\n {2}hides +2 +job +1 +ann +-\n {2}hides +1 +built-in/,
    );
    const fields = JSON.parse((await bulkhead(['explain', 'call/o', '-o', 'json'])).stdout).fields as {
      path: string;
      from: { scope: string };
    }[];
    assert.equal(fields.find(({ path }) => path === 'container.image')?.from.scope, 'job');
    assert.match((await bulkhead(['get', '-n', 'call', '-o', 'wide'])).stdout, / LAYERS [\s\S]* job@1 oncall@5 /);
    const described = (await bulkhead(['describe', 'call/o'])).stdout;
    assert.match(
      described,
      /Revision: +5 \(job@1 oncall@5\)\n[\s\S]*oncall +5 +ann +\d+s +once more +workers\.replicas=5 until/,
    );
    const spec = JSON.parse((await bulkhead(['get', 'call/o', '-o', 'json'])).stdout).spec;
    assert.equal(spec.workers.replicas, 2, 'what is applied again must not take over the override');
  });
});

describe('platform', () => {
  it('stores defaults and limits for all and for tenants, and shows them', async () => {
    const documents = [
      platform('defaults: {workers: {replicas: 2}}'),
      platform('limits: {workers: {replicas: 9}}', 'plat'),
    ];
    const dry = await bulkhead(['platform', 'apply', '-f', '-', '--dry-run=client'], {
      input: documents.join('---\n'),
    });
    assert.equal(
      dry.stdout,
      'platform created (dry run) (all tenants, revision 1)\nplatform created (dry run) (tenant plat, revision 1)\n',
      dry.stderr,
    );
    assert.match((await bulkhead(['platform', 'get'])).stderr, /^The platform says nothing\.\n$/);
    const real = await bulkhead(['platform', 'apply', '-f', '-', '--reason', 'start'], {
      input: documents.join('---\n'),
    });
    assert.equal(real.stdout, dry.stdout.replaceAll(' (dry run)', ''), real.stderr);
    assert.match(
      (await bulkhead(['platform', 'get'])).stdout,
      /^TENANT .*\n\* +1 +ann +\d+s +start +workers\.replicas=2 +<none>\nplat +1 +ann +\d+s +start +<none> +workers\.replicas=9\n$/,
    );
    const yaml = (await bulkhead(['platform', 'get', '-o', 'yaml'])).stdout;
    const again = await bulkhead(['platform', 'apply', '-f', '-'], { input: yaml });
    assert.equal(
      again.stdout,
      'platform unchanged (all tenants, revision 1)\nplatform unchanged (tenant plat, revision 1)\n',
    );
  });

  it('asks before limits that refuse jobs that are there, and refuses without somebody to ask', async () => {
    await apply(job('p', 'plat', 'container: {image: "app:1"}, workers: {replicas: 8}'));
    const tight = platform('limits: {workers: {replicas: 4}}', 'plat');
    const asked = await bulkhead(['platform', 'apply', '-f', '-'], { input: tight });
    assert.deepEqual([asked.exitCode, asked.stdout], [1, '']);
    assert.match(
      asked.stderr,
      /^1 job that is there would be refused, so its cell stays as it is:\n {2}plat\/p: workers\.replicas is 8, expected at most 4.*\nerror: Store it all the same\? There is no terminal to ask on: say --yes if it is meant\n$/,
    );
    const sure = await bulkhead(['platform', 'apply', '-f', '-', '--yes'], { input: tight });
    assert.equal(sure.stdout, 'platform configured (tenant plat, revision 2)\n');
    assert.match(
      (await bulkhead(['describe', 'plat/p'])).stdout,
      /Refused \(LimitExceeded\), so the cell stays as it is:\n {4}workers\.replicas: found 8/,
    );
    assert.match((await bulkhead(['explain', 'plat/p'])).stdout, /^plat\/p exceeds the platform's limits/);
    assert.match(
      (await bulkhead(['platform', 'history', 'plat'])).stdout,
      /\n2 +ann +cli +\d+s +<none> +limits\.workers\.replicas=4 \(was 9\)\n$/,
    );
    const over = await apply(job('q', 'plat', 'container: {image: "app:1"}, workers: {replicas: 5}'));
    assertSentence(over, /plat\/q would exceed what platform\.limits allow with this change: .*workers\.replicas/);
  });

  it('reports what is wrong with a document by its place, and a scope that is there twice', async () => {
    const bad = await bulkhead(['platform', 'apply', '-f', '-'], { input: platform('limit: {}') });
    assert.match(
      bad.stderr,
      /^stdin:3:\d+: spec\.limit: unknown field; did you mean `limits`\?\n[\s\S]*error: nothing was done/,
    );
    const twice = await bulkhead(['platform', 'apply', '-f', '-'], {
      input: [platform(''), platform('')].join('---\n'),
    });
    assert.match(twice.stderr, /found a second Platform for all tenants/);
  });
});
