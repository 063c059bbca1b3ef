import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import {
  ApiException,
  CoreV1Api,
  KubeConfig,
  type KubernetesObject,
  KubernetesObjectApi,
  PatchStrategy,
} from '@kubernetes/client-node';
import { parse, parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { step } from './progress.ts';
import type { LocalCluster } from './types.ts';

const FOLDER = fileURLToPath(new URL('../../manifests/admission', import.meta.url));
/** That of `kubectl apply --server-side`, so that install.yaml, applied after this, meets no other owner of its fields. */
const FIELD_MANAGER = 'kubectl';
const POLL_MS = 100;
const ENFORCED_TIMEOUT_MS = 30_000;
/** How the API server quotes the policy in a refusal, and what it adds when it finds no ConfigMap. */
const POLICY = "'bulkhead-fence'";
const NO_FENCE = 'failed to configure binding';

/** Who breaks the glass in a local cluster may do everything, so that a test can change a cell by hand. */
const BREAK_GLASS = {
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'ClusterRoleBinding',
  metadata: { name: 'break-glass' },
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
  subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: 'bulkhead:break-glass' }],
};

type Manifest = KubernetesObject & { readonly metadata: { readonly name: string } };

const kustomizationSchema = z.looseObject({ resources: z.array(z.string()) });

/**
 * Installs the fence and its policies as `kubectl apply --server-side -k manifests/admission` does, which not every
 * machine has, and waits until the API server keeps to them. Applied again it changes nothing. Those for StreamJobs lie
 * idle until the CRD is there; the API server then needs some 5 s until it takes one.
 */
export async function installAdmission(cluster: Pick<LocalCluster, 'kubeconfigPath'>): Promise<void> {
  const kubeconfig = new KubeConfig();
  kubeconfig.loadFromFile(cluster.kubeconfigPath);
  const wasEnforced = await isEnforced(kubeconfig);
  const install = async () => {
    await applyAll(kubeconfig);
    await untilEnforced(kubeconfig);
  };
  await (wasEnforced ? install() : step('Installing the admission policies', install, { typical: '1–3 s' }));
}

async function applyAll(kubeconfig: KubeConfig): Promise<void> {
  const api = KubernetesObjectApi.makeApiClient(kubeconfig);
  const apply = (object: Manifest) =>
    api.patch(object, undefined, undefined, FIELD_MANAGER, true, PatchStrategy.ServerSideApply);
  await apply(BREAK_GLASS);
  const { resources } = kustomizationSchema.parse(parse(await readFile(join(FOLDER, 'kustomization.yaml'), 'utf8')));
  for (const file of resources) {
    const documents = parseAllDocuments(await readFile(join(FOLDER, file), 'utf8'));
    for (const document of documents) await apply(document.toJS() as Manifest);
  }
}

/** The fence is the last of the files, and an API server takes policies in as they came. */
async function untilEnforced(kubeconfig: KubeConfig): Promise<void> {
  const deadline = performance.now() + ENFORCED_TIMEOUT_MS;
  while (!(await isEnforced(kubeconfig))) {
    if (performance.now() > deadline) {
      throw new Error(
        `The policy bulkhead-fence is installed, but after ${ENFORCED_TIMEOUT_MS / 1000} s the API server does not keep to it. Where it was deleted before, the API server must be restarted (see manifests/admission/kustomization.yaml): make the cluster anew with \`up --fresh\`.`,
      );
    }
    await sleep(POLL_MS);
  }
}

/** Whether a cell's object without an epoch is refused, and not for lack of the fence; only tried. */
async function isEnforced(kubeconfig: KubeConfig): Promise<boolean> {
  const body = { metadata: { generateName: 'admission-probe-', labels: { 'bulkhead.dev/store': 'nobody' } } };
  try {
    const api = kubeconfig.makeApiClient(CoreV1Api);
    await api.createNamespacedServiceAccount({ namespace: 'default', body, dryRun: 'All' });
    return false;
  } catch (error) {
    if (!(error instanceof ApiException) || !String(error.body).includes(POLICY)) throw error;
    return !String(error.body).includes(NO_FENCE);
  }
}
