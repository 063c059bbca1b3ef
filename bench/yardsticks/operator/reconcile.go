package main

import (
	"context"
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// fieldOwner is what the fence asks of whoever writes a cell.
const fieldOwner = client.FieldOwner(managerName)

type reconciler struct {
	client client.Client
}

// Reconcile makes a cell's objects as its spec says: one pass, which writes nothing where nothing differs.
func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var cell Cell
	if err := r.client.Get(ctx, request.NamespacedName, &cell); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	objects, err := render(&cell.Spec)
	if err != nil {
		return ctrl.Result{}, err
	}
	isSeen := true
	for _, wanted := range objects {
		done, err := r.ensure(ctx, wanted)
		if err != nil {
			return ctrl.Result{}, err
		}
		isSeen = isSeen && done
	}
	if !isSeen || (cell.Status.Ready && cell.Status.ObservedGeneration == cell.Generation) {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{}, r.report(ctx, &cell)
}

// ensure gives false when the cache is behind: the object is there, and the event that tells so brings us back.
func (r *reconciler) ensure(ctx context.Context, wanted client.Object) (bool, error) {
	found, err := emptyLike(wanted)
	if err != nil {
		return false, err
	}
	err = r.client.Get(ctx, client.ObjectKeyFromObject(wanted), found)
	if apierrors.IsNotFound(err) {
		err := r.client.Create(ctx, wanted, fieldOwner)
		if apierrors.IsAlreadyExists(err) {
			return false, nil
		}
		return true, err
	}
	if err != nil {
		return false, err
	}
	update, err := merged(wanted, found)
	if err != nil || update == nil {
		return true, err
	}
	return true, r.client.Update(ctx, update, fieldOwner)
}

// report is a patch, so that a cell that the cache has in an older version is no conflict.
func (r *reconciler) report(ctx context.Context, cell *Cell) error {
	status := CellStatus{ObservedGeneration: cell.Generation, Ready: true}
	patch, err := json.Marshal(map[string]CellStatus{"status": status})
	if err != nil {
		return err
	}
	target := &Cell{}
	target.Name = cell.Name
	return r.client.Status().Patch(ctx, target, client.RawPatch(types.MergePatchType, patch))
}

// cellOf maps an object to its cell, which is named after the job's id.
func cellOf(_ context.Context, object client.Object) []ctrl.Request {
	id := object.GetLabels()[labelJobID]
	if id == "" {
		return nil
	}
	return []ctrl.Request{{NamespacedName: types.NamespacedName{Name: id}}}
}

// kinds are those that a cell is made of.
func kinds() []client.Object {
	objects, err := render(&CellSpec{
		Requests: Resources{CPU: "1", Memory: "1"},
		Limits:   Resources{CPU: "1", Memory: "1"},
		Ports:    []Port{{Protocol: corev1.ProtocolTCP}},
	})
	if err != nil {
		panic(err)
	}
	return objects
}
