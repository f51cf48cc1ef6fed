#!/bin/sh
# A BIDS App of a few lines: tiny_app BIDS OUT participant --subject X --session Y
# --work W MODE. It copies the T1w and tells its size.
bids=$1 out=$2 subject=$5 session=$7 work=$9
shift 9
mode=$1
echo "reading $bids, working in $work"
here="sub-$subject/ses-$session/anat"
name="sub-${subject}_ses-${session}"
mkdir -p "$out/$here" "$out/sub-$subject/figures"
echo "intermediate" > "$work/step"
case $mode in
silent) exit 0 ;;
crash) echo "cannot go on at step 3 of $bids"; exit 3 ;;
licence) echo "ERROR: FreeSurfer license file not found."; exit 1 ;;
sleep) sleep 300 & sleep 300 ;;
memory) dd if=/dev/zero of=/dev/null bs=400M count=100000 ;;
orphan) setsid sleep 300 > /dev/null 2>&1 & ;;
write) echo changed >> "$bids/$here/${name}_T1w.json" ;;
esac
cp "$bids/$here/${name}_T1w.nii.gz" "$out/$here/${name}_desc-copy_T1w.nii.gz"
size=$(wc -c < "$bids/$here/${name}_T1w.nii.gz")
echo "{\"Sources\": [\"bids:raw:$here/${name}_T1w.nii.gz\"], \"SkullStripped\": false, \"size\": $size, \"note\": \"from $bids\"}" \
    > "$out/$here/${name}_desc-copy_T1w.json"
if [ -f "$out/correction" ]; then cp "$out/correction" "$out/sub-$subject/ses-$session/"; fi
echo "<html>report, see <img src='./sub-$subject/figures/x.svg'></html>" > "$out/sub-$subject.html"
echo "<svg xmlns='http://www.w3.org/2000/svg'/>" > "$out/sub-$subject/figures/x.svg"
ln -s /etc/passwd "$out/sub-$subject/passwd"
if [ "$mode" = broken ]; then echo "{" > "$out/$here/${name}_desc-copy_T1w.json"; fi
if [ "$mode" = cut ]; then
    head -c 400 "$bids/$here/${name}_T1w.nii.gz" > "$out/$here/${name}_desc-copy_T1w.nii.gz"
fi
