import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseDocument } from 'yaml';
import { z } from 'zod';

const BASE = fileURLToPath(new URL('../../../kind-config.yaml', import.meta.url));

/** Where the audit log and its policy are inside a node; a folder of the host is mounted there. */
const AUDIT_IN_NODE = '/kind/audit';
const AUDIT_POLICY_FILE = 'policy.yaml';
export const AUDIT_LOG_FILE = 'audit.log';

/** One event for each answered request, without bodies. */
export const AUDIT_POLICY = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
`;

export interface KindConfigOptions {
  /** kind's own name for the cluster. */
  readonly name: string;
  readonly image: string;
  /** One of them is the control plane. */
  readonly nodes: number;
  /** A folder of the host for the audit log; it holds the policy. */
  readonly auditDir: string;
  /** The daemon's machine has cgroup version 1, which the kubelet accepts only when told to. */
  readonly isCgroupV1: boolean;
  /** No process may lower its OOM score, so containerd must not try. */
  readonly lacksSysResource: boolean;
}

const baseSchema = z.looseObject({
  nodes: z.array(z.looseObject({ role: z.string() })).min(1),
  kubeadmConfigPatches: z.array(z.string()).default([]),
  containerdConfigPatches: z.array(z.string()).default([]),
});

/** kind-config.yaml with what this cluster and this machine need besides: what `kind create cluster` reads. */
export async function kindConfig(options: KindConfigOptions): Promise<string> {
  const document = parseDocument(await readFile(BASE, 'utf8'));
  const base = baseSchema.parse(document.toJS());
  const [controlPlane] = base.nodes;
  const workers = Array.from({ length: options.nodes - base.nodes.length }, () => ({ role: 'worker' }));
  const nodes = [...base.nodes, ...workers].map((node) => ({
    ...node,
    image: options.image,
    ...(node === controlPlane && {
      extraMounts: [{ hostPath: options.auditDir, containerPath: AUDIT_IN_NODE }],
    }),
  }));
  document.set('name', options.name);
  document.set('nodes', nodes);
  document.set('kubeadmConfigPatches', [...base.kubeadmConfigPatches, ...kubeadmPatches(options)]);
  document.set('containerdConfigPatches', [...base.containerdConfigPatches, ...containerdPatches(options)]);
  return document.toString();
}

function kubeadmPatches({ isCgroupV1 }: KindConfigOptions): string[] {
  const audit = {
    kind: 'ClusterConfiguration',
    apiServer: {
      extraArgs: {
        'audit-policy-file': `${AUDIT_IN_NODE}/${AUDIT_POLICY_FILE}`,
        'audit-log-path': `${AUDIT_IN_NODE}/${AUDIT_LOG_FILE}`,
        'audit-log-maxsize': '500',
        'audit-log-maxbackup': '2',
      },
      extraVolumes: [{ name: 'audit', hostPath: AUDIT_IN_NODE, mountPath: AUDIT_IN_NODE, pathType: 'Directory' }],
    },
  };
  const patches: object[] = [audit];
  if (isCgroupV1) patches.push({ kind: 'KubeletConfiguration', failCgroupV1: false });
  return patches.map((patch) => JSON.stringify(patch));
}

function containerdPatches({ lacksSysResource }: KindConfigOptions): string[] {
  return lacksSysResource ? ['[plugins."io.containerd.grpc.v1.cri"]\n  restrict_oom_score_adj = true\n'] : [];
}
