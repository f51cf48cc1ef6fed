"""
The built-in demo study: made-up people, real anatomy, DICOM of three vendors.

Nobody is in it. Names, numbers, dates, addresses and serial numbers are made up,
and each is registered in `DemoStudy.identities`, so that a test can search for them
in what the platform publishes. Everything is made offline from two templates that
installed packages carry, and from one seed.

Templates and their terms
-------------------------
Brain
    T1, grey and white matter of the ICBM 152 nonlinear symmetric average (2009a),
    1 mm, bundled with nilearn. Copyright (C) 1993-2009 Louis Collins, McConnell
    Brain Imaging Centre, Montreal Neurological Institute, McGill University.
    Permission to use, copy, modify and distribute it for any purpose without fee
    is granted if the copyright notice appears in all copies; it is provided "as
    is". Fonov et al., NeuroImage 54 (2011) 313-327.
Scalp, skull and face
    The average head in the package data of pydeface (MIT licence, Poldrack lab).
    It is an average of many people and shows nobody's face.

Neither file is copied into this repository; they are read from the packages.
"""
