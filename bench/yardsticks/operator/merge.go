package main

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func emptyLike(object client.Object) (client.Object, error) {
	switch object.(type) {
	case *corev1.Namespace:
		return &corev1.Namespace{}, nil
	case *corev1.ServiceAccount:
		return &corev1.ServiceAccount{}, nil
	case *corev1.ResourceQuota:
		return &corev1.ResourceQuota{}, nil
	case *corev1.LimitRange:
		return &corev1.LimitRange{}, nil
	case *networkingv1.NetworkPolicy:
		return &networkingv1.NetworkPolicy{}, nil
	case *appsv1.Deployment:
		return &appsv1.Deployment{}, nil
	case *policyv1.PodDisruptionBudget:
		return &policyv1.PodDisruptionBudget{}, nil
	case *corev1.Service:
		return &corev1.Service{}, nil
	}
	return nil, fmt.Errorf("no kind of a cell: %T", object)
}

// merged is what is found with what is wanted, or nil when it differs in nothing that counts. What is found stays as it
// is: it belongs to the cache. The epoch is written with every change and never for its own sake.
func merged(wanted, found client.Object) (client.Object, error) {
	isSame, err := sameContent(wanted, found)
	if err != nil {
		return nil, err
	}
	if isSame && contains(found.GetLabels(), wanted.GetLabels()) {
		return nil, nil
	}
	update := found.DeepCopyObject().(client.Object)
	update.SetLabels(joined(found.GetLabels(), wanted.GetLabels()))
	update.SetAnnotations(joined(found.GetAnnotations(), wanted.GetAnnotations()))
	setContent(update, wanted)
	return update, nil
}

// sameContent compares whole specs: every default of the API server is rendered, and what it allocates is adopted first.
func sameContent(wanted, found client.Object) (bool, error) {
	same := equality.Semantic.DeepEqual
	switch w := wanted.(type) {
	case *corev1.Namespace:
		return true, nil
	case *corev1.ServiceAccount:
		return same(w.AutomountServiceAccountToken, found.(*corev1.ServiceAccount).AutomountServiceAccountToken), nil
	case *corev1.ResourceQuota:
		return same(w.Spec, found.(*corev1.ResourceQuota).Spec), nil
	case *corev1.LimitRange:
		return same(w.Spec, found.(*corev1.LimitRange).Spec), nil
	case *networkingv1.NetworkPolicy:
		return same(w.Spec, found.(*networkingv1.NetworkPolicy).Spec), nil
	case *appsv1.Deployment:
		return same(w.Spec, found.(*appsv1.Deployment).Spec), nil
	case *policyv1.PodDisruptionBudget:
		return same(w.Spec, found.(*policyv1.PodDisruptionBudget).Spec), nil
	case *corev1.Service:
		f := found.(*corev1.Service)
		w.Spec.ClusterIP, w.Spec.ClusterIPs = f.Spec.ClusterIP, f.Spec.ClusterIPs
		w.Spec.IPFamilies, w.Spec.IPFamilyPolicy = f.Spec.IPFamilies, f.Spec.IPFamilyPolicy
		return same(w.Spec, f.Spec), nil
	}
	return false, fmt.Errorf("no kind of a cell: %T", wanted)
}

func setContent(update, wanted client.Object) {
	switch w := wanted.(type) {
	case *corev1.ServiceAccount:
		update.(*corev1.ServiceAccount).AutomountServiceAccountToken = w.AutomountServiceAccountToken
	case *corev1.ResourceQuota:
		update.(*corev1.ResourceQuota).Spec = w.Spec
	case *corev1.LimitRange:
		update.(*corev1.LimitRange).Spec = w.Spec
	case *networkingv1.NetworkPolicy:
		update.(*networkingv1.NetworkPolicy).Spec = w.Spec
	case *appsv1.Deployment:
		update.(*appsv1.Deployment).Spec = w.Spec
	case *policyv1.PodDisruptionBudget:
		update.(*policyv1.PodDisruptionBudget).Spec = w.Spec
	case *corev1.Service:
		update.(*corev1.Service).Spec = w.Spec
	}
}

func contains(all, some map[string]string) bool {
	for key, value := range some {
		if found, ok := all[key]; !ok || found != value {
			return false
		}
	}
	return true
}

func joined(theirs, ours map[string]string) map[string]string {
	all := make(map[string]string, len(theirs)+len(ours))
	for key, value := range theirs {
		all[key] = value
	}
	for key, value := range ours {
		all[key] = value
	}
	return all
}
