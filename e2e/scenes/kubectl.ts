import assert from 'node:assert/strict';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { attempt, type Finding } from '../../demo/report.ts';
import { localkube } from '../../test/cluster/localkube.ts';
import { run } from '../../test/cluster/progress.ts';
import { until } from '../../test/support/until.ts';
import { ROOT, type Stage } from '../stage.ts';
import { applyExamples, READY } from './install.ts';

/** What people do with kubectl on an ordinary day. */
export async function kubectlScene(stage: Stage): Promise<Finding[]> {
  const { kubectl, store } = stage;
  const goal = async (name: string) => (store ? await store.find({ tenant: 'ads', name }) : null);
  const workers = (name: string) => kubectl('-n', 'ads', 'get', 'sj', name, '-o', 'jsonpath={.status.workers}');
  return [
    await attempt('kubectl apply -f examples/, kubectl wait --for=condition=Ready', async () => {
      await applyExamples(stage);
      await kubectl(...READY);
      return (await kubectl('get', 'sj', '-A')).trim();
    }),
    await attempt('kubectl explain reads like a manual', async () => {
      const text = await kubectl('explain', 'streamjob.spec', '--recursive');
      const top = await kubectl('explain', 'streamjob.spec');
      assert.doesNotMatch(top, /<no description>/);
      assert.match(text, /isolation/);
      return `${top.split('\n').length} lines`;
    }),
    await attempt('the author of an edit is the user of the API server', async () => {
      const author =
        (await goal('page-latency'))?.layers.job.author ?? 'kubernetes-admin (not asked: no database at hand)';
      assert.match(author, /^kubernetes/);
      return author;
    }),
    await attempt('kubectl scale writes layer job', async () => {
      await kubectl('-n', 'ads', 'scale', 'sj/page-latency', '--replicas=2');
      await until('two workers', 120_000, async () => (await workers('page-latency')) === '2/2');
      return `revision ${(await goal('page-latency'))?.revision ?? 'not asked'}`;
    }),
    await attempt('kubectl edit is a revision', async () => {
      const editor = join(stage.folder, 'editor.sh');
      await writeFile(editor, '#!/bin/sh\nsed -i "s/replicas: 2/replicas: 1/" "$1"\n');
      await chmod(editor, 0o755);
      const env = { KUBECONFIG: stage.cluster.kubeconfigPath, KUBE_EDITOR: editor };
      await run(await localkube(), ['kubectl', '-n', 'ads', 'edit', 'sj/page-latency'], { cwd: ROOT, env });
      await until('one worker', 120_000, async () => (await workers('page-latency')) === '1/1');
      return `revision ${(await goal('page-latency'))?.revision ?? 'not asked'}`;
    }),
    await attempt('kubectl get events tells of transitions', async () => {
      const events = await kubectl(
        '-n',
        'ads',
        'get',
        'events',
        '--field-selector',
        'reason=WorkersReady',
        '-o',
        'name',
      );
      const count = events.split('\n').filter(Boolean).length;
      assert.ok(count > 0);
      return `${count} times WorkersReady`;
    }),
    await attempt('kubectl delete removes the job and hangs on nothing', async () => {
      await kubectl('-n', 'ads', 'delete', 'sj/page-latency', '--timeout=30s');
      const removed = await store?.findRemoved({ tenant: 'ads', name: 'page-latency' });
      if (store) assert.equal(removed?.goal.layers.job.content.kind, 'tombstone');
      return 'a tombstone';
    }),
  ];
}
