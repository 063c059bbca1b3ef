import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parse } from 'yaml';
import { revision } from '../../src/job/ids.ts';
import { cellNamespace } from '../../src/plan/names.ts';
import type { TestDatabase } from '../support/postgres.ts';
import { seenOf } from '../unit/cli/views.ts';
import { asReplica, assertSentence, CommandLine, job } from './cli-process.ts';

/** The commands of a first day. No cluster: what needs one is elsewhere. */

let line: CommandLine;
let database: TestDatabase;
let folder: string;
const bulkhead: CommandLine['run'] = (args, surroundings) => line.run(args, surroundings);
const file: CommandLine['file'] = (name, ...documents) => line.file(name, ...documents);

before(async () => {
  line = await CommandLine.open();
  ({ database, folder } = line);
});

after(() => line.close());

describe('apply', () => {
  it('stores all documents of a file, with author and reason, and says for each what became of it', async () => {
    const path = await file('two.yaml', job('one', 'apply'), job('two', 'apply'));
    const dry = await bulkhead(['apply', '-f', path, '--dry-run=client']);
    assert.equal(
      dry.stdout,
      'streamjob/one created (dry run) (tenant apply, revision 1)\nstreamjob/two created (dry run) (tenant apply, revision 1)\n',
    );
    assert.deepEqual(await database.store.list({ tenant: 'apply' }), [], 'a dry run stores nothing');
    const real = await bulkhead(['apply', '-f', path, '--reason', 'first day']);
    assert.deepEqual([real.exitCode, real.stderr], [0, '']);
    assert.equal(real.stdout, dry.stdout.replaceAll(' (dry run)', ''));
    const goal = await database.store.find({ tenant: 'apply', name: 'one' });
    const { author, source, reason } = goal?.layers.job ?? {};
    assert.deepEqual([author, source, reason], ['ann', 'cli', 'first day']);
  });

  it('says unchanged to the same goal, and foresees it in a dry run', async () => {
    const path = await file('same.yaml', job('same', 'apply'));
    await bulkhead(['apply', '-f', path]);
    for (const args of [
      ['apply', '-f', path, '--dry-run=client'],
      ['apply', '-f', path],
    ]) {
      assert.match((await bulkhead(args)).stdout, /^streamjob\/same unchanged .*\(tenant apply, revision 1\)\n$/);
    }
    const edited = await file('same.yaml', job('same', 'apply', 'container: {image: "app:2"}'));
    assert.match((await bulkhead(['apply', '-f', edited, '-o', 'name'])).stdout, /^apply\/same\n$/);
    assert.equal((await database.store.find({ tenant: 'apply', name: 'same' }))?.revision, 2);
  });

  it('reports every problem of every document with its place, and stores nothing at all', async () => {
    const bad = await file(
      'bad.yaml',
      job('good', 'bad'),
      job('Bad', 'bad'),
      job('typo', 'bad', 'contaner: {image: a}'),
    );
    const other = await file('other.yaml', job('good', 'bad'));
    const result = await bulkhead(['apply', '-f', bad, '-f', other]);
    assert.equal(result.exitCode, 1);
    assert.equal(result.stdout, '');
    assert.match(result.stderr, /bad\.yaml:8:18: metadata\.name: found "Bad"/);
    assert.match(result.stderr, /bad\.yaml:14:8: spec\.contaner: unknown field; did you mean `container`\?/);
    assert.match(
      result.stderr,
      /other\.yaml:3:18: metadata\.name: found the job bad\/good, which is also at .*bad\.yaml:3:18/,
    );
    assert.match(result.stderr, /\nerror: nothing was done: correct these problems/);
    assert.deepEqual(await database.store.list({ tenant: 'bad' }), []);
  });

  it('refuses documents of another tenant than -n names, as kubectl does', async () => {
    const result = await bulkhead(['apply', '-n', 'mine', '-f', '-'], { input: job('a', 'yours') });
    assert.equal(result.exitCode, 1);
    assert.match(result.stderr, /stdin:3:\d+: metadata\.namespace: found yours, expected mine/);
  });

  it('--wait ends when the revision is ready, and says when there is no operator', async () => {
    const store = database.store;
    const waiting = bulkhead(['apply', '--wait', '--timeout', '20s', '-f', '-'], { input: job('slow', 'wait') });
    const goal = await untilStored('slow', 'wait');
    const status = { ...seenOf(goal).status, cell: cellNamespace(store.storeId, goal.job) };
    await asReplica(store, (fenceOf) => store.record(fenceOf(goal.job.id), { status, events: [] }));
    const result = await waiting;
    assert.equal(result.exitCode, 0, result.stderr);
    assert.match(result.stdout, /\nstreamjob\/slow ready \(tenant wait\)\n$/);
  });

  it('--wait fails after its time with what is lacking', async () => {
    const args = ['apply', '--wait', '--timeout', '1s', '-f', '-'];
    const result = await bulkhead(args, { input: job('never', 'wait') });
    assert.equal(result.exitCode, 1);
    assert.match(result.stderr, /No operator runs, so nothing happens yet; start one with: bulkhead run\n/);
    assert.match(result.stderr, /not ready after 1 s: wait\/never was not looked at yet; look with: bulkhead describe/);
  });
});

async function untilStored(name: string, tenant: string) {
  for (let tries = 0; tries < 100; tries += 1) {
    const goal = await database.store.find({ tenant, name });
    if (goal) return goal;
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error(`${tenant}/${name} was never stored`);
}

describe('looking', () => {
  before(async () => {
    const documents = [
      job('clicks', 'look', 'container: {image: "app:1"}, workers: {replicas: 2}'),
      job('views', 'look'),
    ];
    await bulkhead(['apply', '-f', '-', '--reason', 'to look at'], { input: documents.join('---\n') });
    const store = database.store;
    const goal = await store.find({ tenant: 'look', name: 'clicks' });
    assert.ok(goal);
    const event = { jobId: goal.job.id, revision: revision(1), type: 'Normal', reason: 'WorkersReady' } as const;
    await asReplica(store, async (fenceOf) => {
      const fence = fenceOf(goal.job.id);
      await store.record(fence, { status: seenOf(goal).status, events: [] });
      await store.record(fence, { status: null, events: [{ ...event, message: '2 of 2 workers are ready' }] });
    });
  });

  it('get lists the jobs of a tenant, and says when no operator keeps the list true', async () => {
    const { stdout, stderr, exitCode } = await bulkhead(['get', '-n', 'look']);
    assert.equal(exitCode, 0);
    assert.match(stderr, /^No operator runs: what is shown was seen by the last one\. Start one with: bulkhead run\n$/);
    assert.match(
      stdout,
      /^TENANT +NAME +READY +PHASE +WORKERS +REVISION +AGE\nlook +clicks +True +Running +2\/2 +1 +\d+s\n/,
    );
    assert.match(stdout, /\nlook +views +Unknown +Unknown +<none> +1 +\d+s\n$/);
  });

  it('get of a tenant without jobs says so on stderr, and where there are some', async () => {
    const { stdout, stderr, exitCode } = await bulkhead(['get']);
    assert.deepEqual([exitCode, stdout], [0, '']);
    assert.match(stderr, /^No jobs found in tenant default\. Other tenants have \d+: use -n TENANT or -A\.\n$/);
  });

  it('get -o yaml, json and name are data for programs', async () => {
    const yaml = parse((await bulkhead(['get', 'look/clicks', '-o', 'yaml'])).stdout);
    assert.deepEqual([yaml.kind, yaml.metadata.name, yaml.status.phase], ['StreamJob', 'clicks', 'Running']);
    const json = JSON.parse((await bulkhead(['get', '-n', 'look', '-o', 'json'])).stdout);
    assert.deepEqual([json.kind, json.items.length], ['List', 2]);
    assert.equal((await bulkhead(['get', '-n', 'look', '-o', 'name'])).stdout, 'look/clicks\nlook/views\n');
  });

  it('a job that is not there is an error with a suggestion', async () => {
    const result = await bulkhead(['get', 'clicks']);
    assert.equal(result.exitCode, 1);
    assertSentence(result, /streamjob "clicks" not found in tenant default; did you mean look\/clicks\?\n$/);
  });

  it('describe answers its four questions, also without a cluster and without an operator', async () => {
    const { stdout, exitCode } = await bulkhead(['describe', '-n', 'look', 'clicks']);
    assert.equal(exitCode, 0);
    assert.match(stdout, /Set by: +ann, with the bulkhead command\n +When: .*\n +Why: +to look at\n/);
    assert.match(stdout, /Phase: +Running\n/);
    assert.match(stdout, /Operator: +none runs/);
    assert.match(stdout, /A look at the cluster just now was not possible:\n +cannot read the kubeconfig/);
    assert.match(stdout, /Normal +WorkersReady +1 +2 of 2 workers are ready\n$/);
  });

  it('events are told of one job, of a tenant and of all', async () => {
    for (const args of [['look/clicks'], ['-n', 'look'], ['-A', '--limit', '1']]) {
      const { stdout } = await bulkhead(['events', ...args]);
      assert.match(stdout, /^AGE +TYPE .*\n\d+s +Normal +WorkersReady +look\/clicks +1 +2 of 2 workers are ready\n$/);
    }
    const [event] = JSON.parse((await bulkhead(['events', 'look/clicks', '-o', 'json'])).stdout);
    assert.deepEqual([event.job.name, event.reason], ['clicks', 'WorkersReady']);
    assert.match((await bulkhead(['events'])).stderr, /^No events found in tenant default\.\n$/);
  });

  it('status says what is there and what is not', async () => {
    const { stdout, exitCode } = await bulkhead(['status']);
    assert.equal(exitCode, 0);
    assert.match(
      stdout,
      /^Store: +answers .*\nOperator: +none runs\nCluster: +cannot read the kubeconfig .*\nJobs: +\d+ jobs: /,
    );
  });

  it('export gives back what apply takes as unchanged', async () => {
    const exported = await bulkhead(['export', '-n', 'look']);
    assert.equal(exported.exitCode, 0);
    const again = await bulkhead(['apply', '-f', '-'], { input: exported.stdout });
    assert.match(again.stdout, /^streamjob\/clicks unchanged .*\nstreamjob\/views unchanged .*\n$/);
    const all = await bulkhead(['export']);
    assert.ok(all.stdout.length > exported.stdout.length, 'without -n, every tenant');
    const whole = await bulkhead(['apply', '-f', '-'], { input: all.stdout });
    assert.match(whole.stdout, /^(streamjob\/\S+ unchanged \(tenant \S+, revision \d+\)\n)+$/);
  });
});

describe('diff', () => {
  it('exits 0 when nothing differs, 1 when something does, and more when it cannot tell', async () => {
    const path = await file('diff.yaml', job('d', 'diff'));
    const fresh = await bulkhead(['diff', '-f', path]);
    assert.equal(fresh.exitCode, 1);
    assert.match(fresh.stdout, /^--- \/dev\/null\n\+\+\+ diff\/d [\s\S]*# {3}create Namespace /);
    await bulkhead(['apply', '-f', path]);
    assert.deepEqual(await bulkhead(['diff', '-f', path]), { exitCode: 0, stdout: '', stderr: '' });
    const edited = await file('diff.yaml', job('d', 'diff', 'container: {image: "app:2"}'));
    const differs = await bulkhead(['diff', '-f', edited]);
    assert.equal(differs.exitCode, 1);
    assert.match(differs.stdout, /\n- {4}image: app:1\n\+ {4}image: app:2\n/);
    assert.match(differs.stdout, /\n# {3}replace Deployment d \(its workers are replaced one after the other\)\n/);
    const broken = await file('diff.yaml', job('D', 'diff'));
    const wrong = [['-f', broken], ['-f', 'nowhere.yaml'], [], ['-f', path, '--wrong'], ['diff/d'], ['diff/d@9']];
    const failed = await Promise.all(wrong.map((args) => bulkhead(['diff', ...args])));
    assert.deepEqual(
      failed.map(({ exitCode }) => exitCode),
      [2, 2, 2, 2, 2, 2],
    );
  });
});

describe('delete', () => {
  it('writes a tombstone; the job stays visible until its cell is gone', async () => {
    await bulkhead(['apply', '-f', '-'], { input: job('gone', 'delete') });
    const dry = await bulkhead(['delete', 'delete/gone', '--dry-run=client']);
    assert.equal(dry.stdout, 'streamjob/gone deleted (dry run) (tenant delete, revision 2)\n');
    assert.ok(await database.store.find({ tenant: 'delete', name: 'gone' }));
    const real = await bulkhead(['delete', 'gone', '-n', 'delete', '--reason', 'enough']);
    assert.deepEqual([real.exitCode, real.stderr], [0, '']);
    assert.equal(real.stdout, 'streamjob/gone deleted (tenant delete, revision 2)\n');
    assert.match((await bulkhead(['get', '-n', 'delete'])).stdout, /\ndelete +gone +Unknown +Unknown/);
    assert.match(
      (await bulkhead(['describe', 'delete/gone'])).stdout,
      /Revision: +2, which removes the job\n[\s\S]*Why: +enough/,
    );
  });

  it('takes files, deletes what is there and fails for what is not', async () => {
    const path = await file('delete.yaml', job('a', 'delete'), job('b', 'delete'));
    await bulkhead(['apply', '-f', path]);
    await bulkhead(['delete', 'delete/b']);
    const result = await bulkhead(['delete', '-f', path]);
    assert.equal(result.exitCode, 1);
    assert.match(result.stdout, /^streamjob\/a deleted \(tenant delete, revision 2\)\n$/);
    assert.match(result.stderr, /^error: streamjob "b" not found in tenant delete/);
    assert.equal((await bulkhead(['delete', '-f', path, '--ignore-not-found'])).exitCode, 0);
  });

  it('wants jobs or files, and not both', async () => {
    assertSentence(await bulkhead(['delete']), /name jobs, or files with -f/);
    assertSentence(await bulkhead(['delete', 'a', '-f', 'b.yaml']), /name jobs, or files with -f/);
  });
});

describe('what a person reads when something is missing', () => {
  const KUBECONFIG = `apiVersion: v1
kind: Config
current-context: nowhere
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}, {name: far, cluster: {server: "https://192.0.2.1:6443"}}]
contexts: [{name: nowhere, context: {cluster: c, user: u}}, {name: far, context: {cluster: far, user: u}}]
users: [{name: u, user: {token: t}}]
`;

  it('the database: nobody there, wrong password, not a URL', async () => {
    const wrong = new URL(database.url);
    wrong.password = 'wrong';
    const cases: readonly (readonly [string, RegExp])[] = [
      [
        'postgres://u:secret@127.0.0.1:1/x',
        /^error: Postgres at 127\.0\.0\.1:1 .* refuses the connection: start the server/,
      ],
      [wrong.href, /refuses the password: correct the one in DATABASE_URL/],
      ['mysql://x', /DATABASE_URL is not usable/],
    ];
    const check = async (args: string[], DATABASE_URL: string, pattern: RegExp) => {
      const result = await bulkhead(args, { input: job('a', 'x'), env: { DATABASE_URL } });
      assert.equal(result.exitCode, 1);
      assertSentence(result, pattern);
      assert.ok(!result.stderr.includes('secret'));
    };
    const commands = [['get'], ['apply', '-f', '-']];
    await Promise.all(cases.flatMap(([url, pattern]) => commands.map((args) => check(args, url, pattern))));
  });

  it('the cluster: no kubeconfig, no such context, an API server that is not there', async () => {
    const config = await file('kubeconfig', KUBECONFIG);
    const cases: readonly (readonly [string[], RegExp])[] = [
      [[], /cannot read the kubeconfig .*none/],
      [['--kubeconfig', join(folder, 'missing')], /cannot read the kubeconfig .*missing/],
      [['--kubeconfig', config, '--context', 'x'], /no context "x" \(it knows nowhere, far\); name one with --context/],
      [
        ['--kubeconfig', config],
        /the API server https:\/\/127\.0\.0\.1:1 \(context nowhere\) does not answer \(connect ECONNREFUSED/,
      ],
    ];
    const check = async (args: string[], pattern: RegExp) => {
      const result = await bulkhead(args);
      assert.equal(result.exitCode, 1);
      assertSentence(result, pattern);
    };
    const commands = ['orphans', 'run'];
    await Promise.all(cases.flatMap(([args, pattern]) => commands.map((name) => check([name, ...args], pattern))));
  });

  it('consent: a cluster that is not on this machine is not touched unasked', async () => {
    const config = await file('kubeconfig', KUBECONFIG);
    const result = await bulkhead(['run', '--kubeconfig', config, '--context', 'far']);
    assert.equal(result.exitCode, 1);
    assertSentence(result, /https:\/\/192\.0\.2\.1:6443 \(context far\) is not on this machine; say --yes/);
  });

  it('--debug adds where it happened', async () => {
    const { stderr } = await bulkhead(['get', 'x/y', '--debug']);
    assert.match(stderr, /^error: streamjob "y" not found in tenant x\nCliError: .*\n +at /);
  });

  it('words of the command line: unknown commands and options are answered with what may have been meant', async () => {
    const command = await bulkhead(['gett']);
    assert.deepEqual([command.exitCode, command.stdout], [1, '']);
    assert.match(command.stderr, /^error: unknown command 'gett'\n\(Did you mean get\?\)\n/);
    assert.match((await bulkhead(['get', '--wach'])).stderr, /Did you mean --watch\?/);
    assert.match((await bulkhead(['--version'])).stdout, /^bulkhead \d+\.\d+\.\d+\n$/);
  });
});
