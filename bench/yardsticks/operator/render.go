package main

import (
	"maps"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	managerName   = "bulkhead"
	labelManager  = "app.kubernetes.io/managed-by"
	labelStore    = "bulkhead.dev/store"
	labelJobID    = "bulkhead.dev/job-id"
	labelTenant   = "bulkhead.dev/tenant"
	labelJob      = "bulkhead.dev/job"
	labelRevision = "bulkhead.dev/revision"
	annotation    = "bulkhead.dev/epoch"

	runAsUser = 65532
	surge     = 1
)

var (
	storageRequest = resource.MustParse("16Mi")
	storageLimit   = resource.MustParse("1Gi")
	tmpSizeLimit   = resource.MustParse("64Mi")
)

// render gives the objects of a cell in the order in which they are made: the same as src/plan/render/cell.ts.
func render(s *CellSpec) ([]client.Object, error) {
	requests, err := s.Requests.list(storageRequest)
	if err != nil {
		return nil, err
	}
	limits, err := s.Limits.list(storageLimit)
	if err != nil {
		return nil, err
	}
	objects := []client.Object{
		s.namespace(),
		&corev1.ServiceAccount{ObjectMeta: s.meta(), AutomountServiceAccountToken: ptr.To(false)},
		s.quota(requests, limits),
		s.limitRange(requests, limits),
		s.networkPolicy(),
		s.deployment(requests, limits),
		&policyv1.PodDisruptionBudget{ObjectMeta: s.meta(), Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable:             ptr.To(intstr.FromInt32(1)),
			Selector:                   &metav1.LabelSelector{MatchLabels: s.selector()},
			UnhealthyPodEvictionPolicy: ptr.To(policyv1.AlwaysAllow),
		}},
	}
	if len(s.Ports) > 0 {
		objects = append(objects, s.service())
	}
	return objects, nil
}

func (r Resources) list(storage resource.Quantity) (corev1.ResourceList, error) {
	cpu, err := resource.ParseQuantity(r.CPU)
	if err != nil {
		return nil, err
	}
	memory, err := resource.ParseQuantity(r.Memory)
	if err != nil {
		return nil, err
	}
	return corev1.ResourceList{
		corev1.ResourceCPU:              cpu,
		corev1.ResourceMemory:           memory,
		corev1.ResourceEphemeralStorage: storage,
	}, nil
}

func (s *CellSpec) selector() map[string]string { return map[string]string{labelJobID: s.JobID} }

func (s *CellSpec) identity() map[string]string {
	return map[string]string{
		labelManager: managerName,
		labelStore:   s.StoreID,
		labelJobID:   s.JobID,
		labelTenant:  s.Tenant,
		labelJob:     s.Job,
	}
}

func (s *CellSpec) meta() metav1.ObjectMeta {
	labels := s.identity()
	labels[labelRevision] = strconv.FormatInt(s.Revision, 10)
	annotations := map[string]string{annotation: s.Mark}
	return metav1.ObjectMeta{Name: s.Name, Namespace: s.Namespace, Labels: labels, Annotations: annotations}
}

func (s *CellSpec) namespace() client.Object {
	meta := s.meta()
	meta.Name, meta.Namespace = s.Namespace, ""
	meta.Labels["pod-security.kubernetes.io/enforce"] = "restricted"
	meta.Labels["pod-security.kubernetes.io/enforce-version"] = "latest"
	return &corev1.Namespace{ObjectMeta: meta}
}

func (s *CellSpec) quota(requests, limits corev1.ResourceList) client.Object {
	pods := int64(2 * (s.Replicas + surge))
	hard := corev1.ResourceList{corev1.ResourcePods: *resource.NewQuantity(pods, resource.DecimalSI)}
	times := func(prefix string, each corev1.ResourceList) {
		for name, quantity := range each {
			total := quantity.DeepCopy()
			total.Mul(pods)
			hard[corev1.ResourceName(prefix)+name] = total
		}
	}
	times("requests.", requests)
	times("limits.", limits)
	return &corev1.ResourceQuota{ObjectMeta: s.meta(), Spec: corev1.ResourceQuotaSpec{Hard: hard}}
}

func (s *CellSpec) limitRange(requests, limits corev1.ResourceList) client.Object {
	withoutStorage := func(list corev1.ResourceList) corev1.ResourceList {
		return corev1.ResourceList{
			corev1.ResourceCPU:    list[corev1.ResourceCPU],
			corev1.ResourceMemory: list[corev1.ResourceMemory],
		}
	}
	return &corev1.LimitRange{ObjectMeta: s.meta(), Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
		Type:           corev1.LimitTypeContainer,
		Default:        withoutStorage(limits),
		DefaultRequest: withoutStorage(requests),
		Max:            withoutStorage(limits),
	}}}}
}

func (s *CellSpec) networkPolicy() client.Object {
	port := func(protocol corev1.Protocol) networkingv1.NetworkPolicyPort {
		return networkingv1.NetworkPolicyPort{Port: ptr.To(intstr.FromInt32(53)), Protocol: &protocol}
	}
	dns := networkingv1.NetworkPolicyEgressRule{
		To: []networkingv1.NetworkPolicyPeer{{
			NamespaceSelector: &metav1.LabelSelector{
				MatchLabels: map[string]string{"kubernetes.io/metadata.name": "kube-system"},
			},
			PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"k8s-app": "kube-dns"}},
		}},
		Ports: []networkingv1.NetworkPolicyPort{port(corev1.ProtocolUDP), port(corev1.ProtocolTCP)},
	}
	return &networkingv1.NetworkPolicy{ObjectMeta: s.meta(), Spec: networkingv1.NetworkPolicySpec{
		PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
		Egress:      []networkingv1.NetworkPolicyEgressRule{dns},
	}}
}

func (s *CellSpec) deployment(requests, limits corev1.ResourceList) client.Object {
	return &appsv1.Deployment{ObjectMeta: s.meta(), Spec: appsv1.DeploymentSpec{
		Replicas:                ptr.To(s.Replicas),
		RevisionHistoryLimit:    ptr.To[int32](3),
		ProgressDeadlineSeconds: ptr.To[int32](120),
		Selector:                &metav1.LabelSelector{MatchLabels: s.selector()},
		Strategy: appsv1.DeploymentStrategy{
			Type: appsv1.RollingUpdateDeploymentStrategyType,
			RollingUpdate: &appsv1.RollingUpdateDeployment{
				MaxSurge:       ptr.To(intstr.FromInt32(surge)),
				MaxUnavailable: ptr.To(intstr.FromInt32(0)),
			},
		},
		Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: s.identity()},
			Spec:       s.podSpec(requests, limits),
		},
	}}
}

func (s *CellSpec) podSpec(requests, limits corev1.ResourceList) corev1.PodSpec {
	return corev1.PodSpec{
		AutomountServiceAccountToken:  ptr.To(false),
		ServiceAccountName:            s.Name,
		DeprecatedServiceAccount:      s.Name,
		EnableServiceLinks:            ptr.To(false),
		DNSPolicy:                     corev1.DNSClusterFirst,
		RestartPolicy:                 corev1.RestartPolicyAlways,
		SchedulerName:                 corev1.DefaultSchedulerName,
		TerminationGracePeriodSeconds: ptr.To[int64](30),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot:   ptr.To(true),
			RunAsUser:      ptr.To[int64](runAsUser),
			RunAsGroup:     ptr.To[int64](runAsUser),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{
			MaxSkew:           1,
			TopologyKey:       corev1.LabelHostname,
			WhenUnsatisfiable: corev1.ScheduleAnyway,
			LabelSelector:     &metav1.LabelSelector{MatchLabels: s.selector()},
		}},
		Volumes: []corev1.Volume{{Name: "tmp", VolumeSource: corev1.VolumeSource{
			EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: ptr.To(tmpSizeLimit.DeepCopy())},
		}}},
		Containers: []corev1.Container{s.container(requests, limits)},
	}
}

func (s *CellSpec) container(requests, limits corev1.ResourceList) corev1.Container {
	var env []corev1.EnvVar
	for _, e := range s.Env {
		env = append(env, corev1.EnvVar{Name: e.Name, Value: e.Value})
	}
	var ports []corev1.ContainerPort
	for _, p := range s.Ports {
		ports = append(ports, corev1.ContainerPort{Name: p.Name, ContainerPort: p.Port, Protocol: p.Protocol})
	}
	return corev1.Container{
		Name:            "worker",
		Image:           s.Image,
		ImagePullPolicy: corev1.PullIfNotPresent,
		Env:             env,
		Ports:           ports,
		Resources:       corev1.ResourceRequirements{Requests: maps.Clone(requests), Limits: maps.Clone(limits)},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr.To(false),
			Privileged:               ptr.To(false),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			RunAsNonRoot:             ptr.To(true),
		},
		VolumeMounts:             []corev1.VolumeMount{{Name: "tmp", MountPath: "/tmp"}},
		TerminationMessagePath:   corev1.TerminationMessagePathDefault,
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
	}
}

func (s *CellSpec) service() client.Object {
	var ports []corev1.ServicePort
	for _, p := range s.Ports {
		target := intstr.FromString(p.Name)
		ports = append(ports, corev1.ServicePort{Name: p.Name, Port: p.Port, Protocol: p.Protocol, TargetPort: target})
	}
	return &corev1.Service{ObjectMeta: s.meta(), Spec: corev1.ServiceSpec{
		Type:                  corev1.ServiceTypeClusterIP,
		ClusterIP:             corev1.ClusterIPNone,
		Selector:              s.selector(),
		SessionAffinity:       corev1.ServiceAffinityNone,
		InternalTrafficPolicy: ptr.To(corev1.ServiceInternalTrafficPolicyCluster),
		Ports:                 ports,
	}}
}
