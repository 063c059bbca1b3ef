import type { KindCluster } from '../index.ts';
import { docker, nodeContainers, withRunningDocker } from '../kind/docker.ts';
import { kindName } from '../kind/naming.ts';

/** Where the provisioner of kind/node/default-storage.yaml has volumes made, by root and for root alone. */
const VOLUMES = '/tmp/hostpath_pv';
const UNIT = '/etc/systemd/system/open-volumes';

const PATH_UNIT = `[Path]
PathChanged=${VOLUMES}
MakeDirectory=true
[Install]
WantedBy=multi-user.target
`;

const SERVICE_UNIT = `[Service]
Type=oneshot
ExecStart=/bin/sh -c 'chmod 0777 ${VOLUMES}/* || true'
`;

/**
 * Lets pods that do not run as root write to their volumes, as kind's usual storage does. The node image that is built
 * without a registry has a stand-in for it, which heeds no fsGroup; on others this touches nothing.
 */
export async function openVolumes(cluster: KindCluster): Promise<void> {
  const script = `
    grep -qs kubernetes.io/host-path /kind/manifests/default-storage.yaml || exit 0
    printf '%s' "$1" > ${UNIT}.path
    printf '%s' "$2" > ${UNIT}.service
    systemctl daemon-reload
    systemctl enable --quiet --now open-volumes.path
    systemctl start open-volumes.service`;
  await withRunningDocker(async (it) => {
    if (!it) throw new Error(`No Docker daemon runs any more, though the kind cluster "${cluster.name}" is on one.`);
    for (const node of await nodeContainers(it, kindName(cluster.name))) {
      await docker(it, ['exec', node, 'sh', '-c', script, 'sh', PATH_UNIT, SERVICE_UNIT]);
    }
  });
}
